//! The shell that sends signals to the other container of a Pod: in containers that share their
//! processes as those of a Pod do, which needs Docker and the images of `ci/images`; and what cannot be
//! had there, on a table of processes that is made up.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{eventually, finish};

const IMAGE: &str = "ttg-redis:debian";

const SCRIPT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kubernetes/hand.sh"));

/// How it is carried out.
const RUN_IT: &str = "eval \"$TTG_HAND\"";

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

    /// The hand's own container.
    fn hand(&mut self, mode: &str) -> String {
        let (pid, script) = (self.share(), format!("TTG_HAND={SCRIPT}"));
        let run = ["run", "--detach", "--pid", &pid, "--network", &pid, "--user", "65532"];
        let restricted = ["--cap-drop", "ALL", "--read-only", "--env", &script];
        let words = ["--entrypoint", "sh", IMAGE, "-c", RUN_IT, "ttg-hand", mode];
        let id = docker(&[&run[..], &restricted, &words].concat());
        self.0.push(id.clone());
        id
    }
}

/// A shell that serves in the hand's container, as long as that one is there.
struct Shell {
    process: Child,
    to: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    fn open(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, to, lines }
    }

    fn in_container(id: &str) -> Self {
        let words = ["exec", "--interactive", id, "sh", "-c", RUN_IT, "ttg-hand", "serve"];
        Self::open(Command::new("docker").args(words))
    }

    fn ask(&mut self, line: &str) -> String {
        self.to.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.lines.next().expect("it answers").unwrap()
    }

    fn close(self) {
        let Self { mut process, to, .. } = self;
        drop(to);
        process.wait().unwrap();
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
    let mut pod = Pod::start();
    let worker = pod.add(&["sh", "-c", "tail -f /dev/null & wait"]);
    let leaver = pod.hand("leave");
    let mut hand = Shell::in_container(&pod.hand("stay"));
    let stopped = hand.ask("STOP");
    assert!(stopped.starts_with("STOP ") && stopped.ends_with(" T"), "{stopped}");
    let state = docker(&["exec", &worker, "sh", "-c", "cat /proc/[0-9]*/stat"]);
    let tails: Vec<&str> = state.lines().filter(|line| line.contains("(tail) T")).collect();
    assert_eq!(
        tails.len(),
        1,
        "its child is stopped too, and the Pod's own process is not: {state}"
    );
    let goes_on = hand.ask("CONT");
    assert!(goes_on.starts_with("CONT ") && !goes_on.ends_with(" T"), "{goes_on}");
    assert!(hand.ask("KILL").starts_with("KILL "));
    assert_eq!(docker(&["wait", &worker]), "137");
    assert_eq!(hand.ask("STOP"), "gone");
    assert_eq!(docker(&["wait", &leaver]), "0", "it leaves with the other");
    hand.close();
}

#[test]
fn told_to_end_with_its_pod_it_kills_the_other_container_before_it_leaves() {
    let mut pod = Pod::start();
    let broker = pod.add(&["sh", "-c", "tail -f /dev/null & wait"]);
    let stayer = pod.hand("stay");
    let mut hand = Shell::in_container(&stayer);
    assert!(hand.ask("STOP").ends_with(" T"));
    for of_the_pod in [&stayer, &broker] {
        docker(&["kill", "--signal", "TERM", of_the_pod]);
    }
    assert!(hand.ask("KILL").starts_with("KILL "));
    hand.close();
    assert_eq!(docker(&["wait", &broker]), "137");
    assert_eq!(docker(&["wait", &stayer]), "0");
}

#[test]
fn it_tries_connections_and_sees_those_that_are_open() {
    let mut pod = Pod::start();
    let mut hand = Shell::in_container(&pod.hand("stay"));
    assert_eq!(hand.ask("REACH 127.0.0.1 6379"), "cut");
    assert_eq!(hand.ask("OPEN 6379"), "open");
    let network = pod.share();
    let run = ["run", "--detach", "--network", &network, "--entrypoint", "redis-server", IMAGE];
    let redis = docker(&run);
    pod.0.push(redis.clone());
    eventually(|| match &*hand.ask("REACH 127.0.0.1 6379") {
        "reached" => Ok(()),
        other => Err(other.to_owned()),
    });
    let words = ["exec", "--interactive", &redis, "redis-cli"];
    let mut client = Shell::open(Command::new("docker").args(words));
    assert_eq!(client.ask("PING"), "PONG");
    let one = "open 00000000/00000000";
    // What was tried before is closed.
    eventually(|| match &*hand.ask("OPEN 6379") {
        said if said == one => Ok(()),
        said => Err(said.to_owned()),
    });
    assert_eq!(hand.ask("OPEN 6380"), "open");
    client.close();
    hand.close();
}

/// A network of its own.
struct Network(String);

impl Network {
    fn new() -> Self {
        let name = format!("ttg-hand-{}", std::process::id());
        docker(&["network", "create", &name]);
        Self(name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["network", "rm", &self.0]).output();
    }
}

#[test]
fn it_sees_that_nothing_gets_through_on_a_connection_that_stays_open() {
    let network = Network::new();
    let run = ["run", "--detach", "--network", &network.0, "--entrypoint"];
    let mut pod = Pod(vec![docker(&[&run[..], &["tail", IMAGE, "-f", "/dev/null"]].concat())]);
    let server = docker(&[&run[..], &["redis-server", IMAGE, "--protected-mode", "no"]].concat());
    pod.0.push(server.clone());
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(&["inspect", "--format", format, &server]);
    let mut hand = Shell::in_container(&pod.hand("stay"));
    let reach = format!("REACH {address} 6379");
    eventually(|| match &*hand.ask(&reach) {
        "reached" => Ok(()),
        other => Err(other.to_owned()),
    });
    let talk = format!(
        "exec 3<>/dev/tcp/{address}/6379; while echo PING >&3; do read -r -t 0.2 pong <&3; done"
    );
    let share = pod.share();
    let run = ["run", "--detach", "--network", &share, "--entrypoint", "bash", IMAGE];
    pod.0.push(docker(&[&run[..], &["-c", &talk]].concat()));
    let mut again = |at_least: u32| {
        eventually(|| {
            let said = hand.ask("OPEN 6379");
            let count = said.rsplit_once('/').and_then(|(_, it)| u32::from_str_radix(it, 16).ok());
            if count.is_some_and(|count| count >= at_least) { Ok(()) } else { Err(said) }
        });
    };
    again(0);
    docker(&["network", "disconnect", "--force", &network.0, &server]);
    again(2);
    assert_eq!(hand.ask(&reach), "cut");
    hand.close();
    // The network goes last.
    drop(pod);
}

/// A table of processes with one of this machine in it, as that of another container. Commands that the
/// script runs are looked for here first.
struct Made {
    directory: TempDir,
    other: Child,
}

impl Made {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let other = Command::new("tail").args(["-f", "/dev/null"]).spawn().unwrap();
        let made = Self { directory, other };
        fs::create_dir_all(made.process()).unwrap();
        fs::write(made.process().join("cmdline"), "other\0").unwrap();
        made.shows('S');
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn process(&self) -> PathBuf {
        self.path(&self.other.id().to_string())
    }

    fn stat(&self, state: char) -> String {
        format!("{} (other) {state} 0 0", self.other.id())
    }

    fn shows(&self, state: char) {
        fs::write(self.process().join("stat"), self.stat(state) + "\n").unwrap();
    }

    /// Whenever the script naps, this happens instead.
    fn nap(&self, script: &str) {
        self.command("sleep", script);
    }

    /// What happens where the script runs a command of this name.
    fn command(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn hand(&self, mode: &str) -> Command {
        let (place, path) = (self.directory.path().display(), std::env::var("PATH").unwrap());
        let script = SCRIPT.replace("/proc/", &format!("{place}/"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", RUN_IT, "ttg-hand", mode]);
        command.env("TTG_HAND", script).env("PATH", format!("{place}:{path}"));
        command
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

#[test]
fn it_waits_for_a_process_that_takes_a_while_to_stop() {
    let made = Made::new();
    // Not before somebody has waited for it.
    let stat = made.process().join("stat");
    made.nap(&format!("echo '{}' >'{}'", made.stat('T'), stat.display()));
    let mut hand = Shell::open(&mut made.hand("serve"));
    assert_eq!(hand.ask("STOP"), format!("STOP {} T", made.other.id()));
    hand.close();
}

#[test]
fn it_waits_no_longer_than_it_is_waited_for() {
    let made = Made::new();
    made.nap("exit 0");
    let mut hand = Shell::open(&mut made.hand("serve"));
    assert_eq!(hand.ask("STOP"), format!("STOP {} S", made.other.id()));
    hand.close();
}

#[rstest]
#[case::stay("stay")]
#[case::leave("leave")]
fn told_to_end_it_outlives_the_other(#[case] mode: &str) {
    let made = Made::new();
    let naps = made.path("naps");
    made.nap(&format!("echo >>'{}'; exec /bin/sleep 0.01", naps.display()));
    let mut hand = made.hand(mode).spawn().unwrap();
    let naps_on = |hand: &mut Child| {
        let count = || fs::read(&naps).map_or(0, |naps| naps.len());
        let before = count();
        eventually(|| {
            assert_eq!(hand.try_wait().unwrap(), None, "it is there as long as the other");
            if count() > before + 2 { Ok(()) } else { Err("it does not nap".to_owned()) }
        });
    };
    naps_on(&mut hand);
    kill_process(Pid::from_child(&hand), Signal::TERM).unwrap();
    naps_on(&mut hand);
    fs::remove_dir_all(made.process()).unwrap();
    assert!(hand.wait().unwrap().success());
}

#[rstest]
#[case::no_way(&[], "unable")]
#[case::no_limit(&[("nc", "exit 0")], "unable")]
#[case::no_client(&[("timeout", "exit 0")], "unable")]
#[case::nc(&[("timeout", r#"shift; exec "$@""#), ("nc", r#"test "$1" = -z"#)], "reached")]
#[case::nc_without_z(&[("timeout", r#"shift; exec "$@""#), ("nc", r#"test "$1" = -w"#)], "reached")]
#[case::cut(&[("timeout", "exit 124"), ("nc", "exit 0")], "cut")]
fn it_tries_a_connection_by_what_its_image_has(
    #[case] commands: &[(&str, &str)],
    #[case] answer: &str,
) {
    let made = Made::new();
    for (name, script) in commands {
        made.command(name, script);
    }
    let mut hand = made.hand("serve");
    // Nothing else is found.
    let mut hand = Shell::open(hand.env("PATH", made.directory.path()));
    assert_eq!(hand.ask("REACH 10.96.0.7 6379"), answer);
    hand.close();
}

#[test]
fn it_reads_what_waits_on_each_connection() {
    let made = Made::new();
    fs::create_dir(made.path("net")).unwrap();
    let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
    let row = |to: &str, state: &str, queue: &str, again: &str| {
        format!(
            "   0: 0A00010A:9C40 {to} {state} {queue}:00000000 01:00000014 {again} 65532        0 7 2 0"
        )
    };
    let table = [
        head.to_owned(),
        row("0700600A:18EB", "01", "0000001A", "00000003"),
        row("0700600A:18EB", "01", "00000000", "00000000"),
        // One that is tried, one of a server, and one to another port.
        row("0700600A:18EB", "02", "00000001", "00000002"),
        row("00000000:0000", "0A", "00000000", "00000000"),
        row("0700600A:01BB", "01", "00000000", "00000000"),
    ];
    fs::write(made.path("net/tcp"), table.join("\n") + "\n").unwrap();
    let six = row("0000000000000000FFFF00000700600A:18EB", "01", "00000005", "0000000A");
    fs::write(made.path("net/tcp6"), format!("{head}\n{six}\n")).unwrap();
    let mut hand = Shell::open(&mut made.hand("serve"));
    assert_eq!(hand.ask("OPEN 6379"), "open 0000001A/00000003 00000000/00000000 00000005/0000000A");
    fs::remove_file(made.path("net/tcp6")).unwrap();
    assert_eq!(hand.ask("OPEN 443"), "open 00000000/00000000");
    hand.close();
}
