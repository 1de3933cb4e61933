//! The shell that sends signals to the other container of a Pod, in containers that share their
//! processes as those of a Pod do. It needs Docker and the images of `ci/images`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::finish;

const IMAGE: &str = "ttg-redis:debian";

fn docker(arguments: &[&str]) -> String {
    let said = finish(Command::new("docker").args(arguments).stdin(Stdio::null()));
    assert_eq!(said.code, Some(0), "docker {arguments:?}: {said}");
    said.stdout.trim().to_owned()
}

/// Containers that share their processes: the first stands for that of the Pod itself.
struct Pod(Vec<String>);

impl Pod {
    fn start() -> Self {
        let first = [
            "run",
            "--detach",
            "--user",
            "65532",
            "--entrypoint",
            "tail",
            IMAGE,
            "-f",
            "/dev/null",
        ];
        Self(vec![docker(&first)])
    }

    fn share(&self) -> String {
        format!("container:{}", self.0[0])
    }

    fn add(&mut self, words: &[&str]) -> String {
        let pid = self.share();
        let run = ["run", "--detach", "--pid", &pid, "--user", "65532", "--entrypoint"];
        let id = docker(&[&run[..], &[words[0], IMAGE], &words[1..]].concat());
        self.0.push(id.clone());
        id
    }

    fn serve(&self, script: &str) -> Child {
        Command::new("docker")
            .args([
                "run",
                "--rm",
                "--interactive",
                "--env",
                &format!("TTG_HAND={script}"),
                "--pid",
                &self.share(),
                "--user",
                "65532",
            ])
            .args(["--cap-drop", "ALL", "--read-only", "--entrypoint", "sh", IMAGE])
            .args(["-c", "eval \"$TTG_HAND\"", "ttg-hand", "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for id in &self.0 {
            let _ = Command::new("docker").args(["rm", "--force", id]).output();
        }
    }
}

#[test]
fn it_stops_lets_go_and_kills_the_processes_of_the_other_container() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubernetes/hand.sh");
    let script = std::fs::read_to_string(path).unwrap();
    let mut pod = Pod::start();
    let worker = pod.add(&["sh", "-c", "tail -f /dev/null & wait"]);
    let leaver = pod.add(&["sh", "-c", &script, "ttg-hand", "leave"]);
    let mut hand = pod.serve(&script);
    let mut to = hand.stdin.take().unwrap();
    let mut lines = BufReader::new(hand.stdout.take().unwrap()).lines();
    let mut ask = |line: &str| {
        to.write_all(format!("{line}\n").as_bytes()).unwrap();
        lines.next().unwrap().unwrap()
    };
    let stopped = ask("STOP");
    assert!(stopped.starts_with("STOP ") && stopped.ends_with(" T"), "{stopped}");
    let state = docker(&["exec", &worker, "sh", "-c", "cat /proc/[0-9]*/stat"]);
    let tails: Vec<&str> = state.lines().filter(|line| line.contains("(tail) T")).collect();
    assert_eq!(
        tails.len(),
        1,
        "its child is stopped too, and the Pod's own process is not: {state}"
    );
    let goes_on = ask("CONT");
    assert!(goes_on.starts_with("CONT ") && !goes_on.ends_with(" T"), "{goes_on}");
    assert_eq!(ask("REACH 127.0.0.1 1"), "cut");
    assert!(ask("KILL").starts_with("KILL "));
    assert_eq!(docker(&["wait", &worker]), "137");
    assert_eq!(ask("STOP"), "gone");
    assert_eq!(docker(&["wait", &leaver]), "0", "it leaves with the other");
    drop(to);
    hand.wait().unwrap();
}
