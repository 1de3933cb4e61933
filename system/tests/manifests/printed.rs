//! `ttg manifests`, as people call it.

use std::process::{Command, Output};

use rstest::rstest;

fn ttg(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ttg"))
        .arg("manifests")
        .args(arguments.split_whitespace())
        .output()
        .expect("the program is built with its tests")
}

fn printed(arguments: &str) -> String {
    let output = ttg(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""));
    String::from_utf8(output.stdout).expect("it is text")
}

const KEDA: &str = "--workers 2 --namespace sweeps --autoscale keda --max-workers 20";

#[rstest]
#[case("redis", "--backend redis --workers 2")]
#[case(
    "redis_ephemeral",
    "--backend redis --ephemeral --workers 1 --broker-image redis:8 --milestone m2"
)]
#[case(
    "redis_private",
    "--backend redis --workers 1 --ephemeral --image-pull-secret registry.ours"
)]
#[case("redis_hpa", "--backend redis --workers 2 --autoscale hpa --max-workers 8")]
#[case("redis_keda", &format!("--backend redis {KEDA}"))]
#[case("rabbitmq", "--backend rabbitmq --workers 2 --namespace sweeps --storage-class managed-csi")]
#[case("rabbitmq_keda", &format!("--backend rabbitmq {KEDA}"))]
#[case("static", "--backend static --workers 4 --params 1000 --chunk-size 10 --work-ms 0.5")]
fn a_sweep_is_printed_like_this(#[case] name: &str, #[case] arguments: &str) {
    let text = printed(&format!("--image ttg-worker:dev {arguments}"));
    let text = text.replace(env!("CARGO_PKG_VERSION"), "<version>");
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(format!("printed_{name}"), text);
    });
}

#[test]
fn what_is_printed_is_the_same_each_time_and_holds_no_secret() {
    let arguments = "--backend rabbitmq --image ttg-worker:dev";
    let text = printed(arguments);
    assert_eq!(text, printed(arguments));
    assert!(!text.contains("kind: Secret"));
    assert!(text.contains("secretKeyRef"));
}

#[rstest]
#[case(
    "--backend redis --image TTG",
    "--image: \"TTG\" is no image: a repository is in lower case"
)]
#[case("--backend redis --image a --broker-image b:", "--broker-image: \"b:\" is no image")]
#[case("--backend redis --image a --namespace My_Space", "--namespace: \"My_Space\" has 'M' in it")]
#[case("--backend redis --image a --milestone -", "--milestone: \"-\" is no label's value")]
#[case("--backend redis --image a --storage-class a..b", "--storage-class: \"\" has 0 characters")]
#[case("--backend redis --image a --image-pull-secret A", "--image-pull-secret: \"A\" has 'A'")]
#[case("--backend redis --image a --work-ms=-1", "--work-ms is -1, not a time")]
#[case("--backend redis --image a --workers 0", "0 is not in 1..=1000")]
#[case("--backend redis --image a --max-workers 9", "--max-workers needs --autoscale hpa or keda")]
#[case("--backend redis --image a --autoscale hpa", "an autoscaler needs --max-workers")]
#[case("--backend redis --image a --autoscale hpa --max-workers 2", "--max-workers is 2, below")]
#[case("--backend redis --image a --autoscale keda --max-workers 9", "keda needs --namespace")]
#[case("--backend static --image a --ephemeral", "--ephemeral is of no use with --backend static")]
#[case("--backend static --image a --autoscale hpa", "--autoscale is of no use")]
fn what_cannot_be_is_refused_with_the_reason(#[case] arguments: &str, #[case] reason: &str) {
    let output = ttg(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{error}");
    assert!(error.contains(reason), "{error}");
}
