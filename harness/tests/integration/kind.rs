//! `harness cluster`, with programs in the places of kind and Docker that write down what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use insta::assert_snapshot;

use crate::model::ModelCluster;
use crate::support::{Said, Sandbox, finish};

/// It has two of our images; one that is `OLD` knows nothing of platforms.
const DOCKER: &str = r#"#!/bin/sh
echo "docker $*" >>"$TOLD"
case "$*" in
  *inspect*redis:7.2-alpine* | *inspect*ttg-worker:dev* | *inspect*busybox:1*) echo linux/arm64 ;;
  *inspect*) exit 1 ;;
  *--platform*) [ -z "$OLD" ] || { echo '"--platform" requires API version 1.48' >&2; exit 1; } ;;
esac
"#;

const KIND: &str = r#"#!/bin/sh
echo "kind $*" >>"$TOLD"
[ "$1" != get ] || echo ttg-sandbox
case "$*" in
  *docker-image*) echo 'ERROR: failed to load image: ctr: content digest sha256:12: not found' >&2; exit 1 ;;
esac
"#;

/// `harness cluster up` on a cluster that is there; what it said, and what the programs were told.
fn up(sandbox: &Sandbox, docker: &str, images: &[&str]) -> (Said, String) {
    let model = ModelCluster::start();
    let text = fs::read_to_string(&model.kubeconfig).unwrap();
    fs::write(
        &model.kubeconfig,
        text.replace("name: model, context", "name: kind-ttg-sandbox, context"),
    )
    .unwrap();
    for (name, script) in [("docker", DOCKER), ("kind", KIND)] {
        let path = sandbox.write(name, script);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut harness = sandbox.harness(&[&["cluster", "up"], images].concat());
    let path = std::env::var("PATH").unwrap();
    harness.env("PATH", format!("{}:{path}", sandbox.path().display()));
    harness.env("KUBECONFIG", &model.kubeconfig).env("TMPDIR", sandbox.path());
    harness.env("TOLD", sandbox.path().join("told")).env("OLD", docker);
    let said = finish(&mut harness);
    let told = fs::read_to_string(sandbox.path().join("told")).unwrap();
    let archive = told.split(' ').find(|word| word.ends_with(".tar")).unwrap_or("none");
    let told = told.lines().filter(|line| !line.contains("inspect")).collect::<Vec<_>>().join("\n");
    (said, told.replace(archive, "<archive>"))
}

#[test]
fn images_come_to_the_nodes_with_one_platform_each() {
    let sandbox = Sandbox::new();
    let (said, told) = up(&sandbox, "", &["--image", "busybox:1"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_snapshot!(told, @r"
    kind get clusters
    docker image save --platform linux/arm64 --output <archive> ttg-worker:dev
    kind load image-archive <archive> --name ttg-sandbox
    docker image save --platform linux/arm64 --output <archive> redis:7.2-alpine
    kind load image-archive <archive> --name ttg-sandbox
    docker image save --platform linux/arm64 --output <archive> busybox:1
    kind load image-archive <archive> --name ttg-sandbox
    ");
    assert!(!sandbox.entries().iter().any(|it| it.ends_with(".tar")), "{:?}", sandbox.entries());
}

#[test]
fn a_docker_that_knows_no_platforms_is_asked_without() {
    let (said, told) = up(&Sandbox::new(), "old", &[]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_snapshot!(told, @r"
    kind get clusters
    docker image save --platform linux/arm64 --output <archive> ttg-worker:dev
    docker image save --output <archive> ttg-worker:dev
    kind load image-archive <archive> --name ttg-sandbox
    docker image save --platform linux/arm64 --output <archive> redis:7.2-alpine
    docker image save --output <archive> redis:7.2-alpine
    kind load image-archive <archive> --name ttg-sandbox
    ");
}

#[test]
fn an_image_that_is_not_here_is_told() {
    let (said, _) = up(&Sandbox::new(), "", &["--image", "nowhere:1"]);
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("image nowhere:1 is not on this machine's Docker"), "{said}");
}
