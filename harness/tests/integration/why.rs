//! The reason first: what a run says that did not pass, and what is the machine's and no fault of the
//! system.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Said, Sandbox, finish, json};

/// A scenario of this name with these lines.
fn scenario(sandbox: &Sandbox, name: &str, lines: &str) -> String {
    let text = format!("name: {name}\ndescription: One that does not pass.\n{lines}");
    sandbox.write(&format!("{name}.yaml"), &text)
}

const REDIS: &str = "\
sweep: { params: 600, chunk_size: 1, kernel: { reference: { work_ms: 20 } } }
backend: redis
workers: 3
";

/// Asserts that every report opens with this reason.
fn assert_why(sandbox: &Sandbox, name: &str, said: &Said, why: &str) {
    let shown = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(&format!("{name} why: {why}")), "{said}");
    let run = sandbox.latest(name);
    let told = json(run.join("results.json"))["why"].as_str().unwrap_or_default().to_owned();
    assert!(told.starts_with(why), "{told}");
    for file in ["report.md", "report.html", "junit.xml"] {
        let text = fs::read_to_string(run.join(file)).unwrap();
        assert!(text.contains("why:"), "{file}: {text}");
    }
}

#[test]
fn a_program_that_is_not_there_is_69_before_anything_is_started() {
    let sandbox = Sandbox::new();
    let lines = format!("{REDIS}system: {{ command: [./no-such-worker] }}\n");
    let said = sandbox.run(&["run", &scenario(&sandbox, "absent", &lines)]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(69), ""), "{said}");
    assert!(said.stderr.contains("no such file (install it, or correct system.command)"), "{said}");
    assert!(!sandbox.latest("absent").join("broker/redis-server.log").exists(), "{said}");
}

#[test]
fn a_worker_that_ends_at_its_first_import_is_the_reason_and_its_traceback_stays_lines() {
    let sandbox = Sandbox::new();
    let worker = sandbox.write("worker.py", "import no_such_module\n");
    let lines = format!("{REDIS}system: {{ command: [python3, {worker}] }}\n");
    let said = sandbox.run(&["run", &scenario(&sandbox, "imports", &lines)]);
    assert_eq!(said.code, Some(1), "{said}");
    let why = "the worker's program cannot start: ModuleNotFoundError: No module named \
               'no_such_module' (3 of 3 workers)";
    assert_why(&sandbox, "imports", &said, why);
    assert!(said.stdout.contains("3 × worker exited with code 1"), "{said}");
    let traceback = said.stdout.lines().find(|line| line.contains("Traceback (most recent"));
    assert_eq!(traceback.map(str::trim), Some("Traceback (most recent call last):"), "{said}");
    assert!(said.stderr.contains("worker-0 exited with code 1: ModuleNotFoundError"), "{said}");
}

#[test]
fn a_program_that_is_found_only_to_be_none_is_inconclusive() {
    let sandbox = Sandbox::new();
    let worker = sandbox.write("worker", "#!/no/such/interpreter\n");
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).unwrap();
    let lines = format!("{REDIS}system: {{ command: [{worker}] }}\n");
    let said = sandbox.run(&["run", &scenario(&sandbox, "none", &lines)]);
    assert_eq!(said.code, Some(2), "{said}");
    assert_why(&sandbox, "none", &said, "the worker's program cannot start: \"");
}

#[test]
fn attempts_that_all_fail_are_shown_while_they_do_and_are_the_reason() {
    let sandbox = Sandbox::new();
    let kernel = sandbox
        .write("kernel.py", "import sys\nfor line in sys.stdin:\n    import no_such_module\n");
    let lines = format!(
        "sweep: {{ params: 20, chunk_size: 5, kernel: {{ exec: {{ command: [python3, {kernel}] }} }} }}\n\
         workers: 2\n\
         system: {{ env: {{ MAX_RETRIES: 2, RETRY_DELAY_MS: 1000 }} }}\n"
    );
    let said = sandbox.run(&["run", &scenario(&sandbox, "fails", &lines)]);
    assert_eq!(said.code, Some(1), "{said}");
    let why = "every attempt fails: the kernel ended without an answer (exit status: 1): \
               ModuleNotFoundError: No module named 'no_such_module'";
    assert_why(&sandbox, "fails", &said, why);
    assert!(said.stderr.contains("attempts fail: the kernel ended without an answer"), "{said}");
    let events = fs::read_to_string(sandbox.latest("fails").join("events.jsonl")).unwrap();
    assert!(events.contains(r#""event":"attempts""#), "{events}");
    assert!(said.stdout.contains("chunks 00000, 00001, 00002, 00003 are in the"), "{said}");
}

#[test]
fn a_fault_that_panics_ends_the_run_at_once_and_it_is_inconclusive() {
    let sandbox = Sandbox::new();
    let lines = "\
sweep: { params: 3000, chunk_size: 10, kernel: { reference: { work_ms: 10 } } }
workers: 3
faults: [{ at: 1%, pause: { worker: busy, for: 20s } }]
";
    let file = scenario(&sandbox, "panics", lines);
    let begun = Instant::now();
    let said = finish(sandbox.harness(&["run", &file]).env("TTG_HARNESS_FAULT_PANICS", "1"));
    assert_eq!(said.code, Some(2), "{said}");
    assert_why(&sandbox, "panics", &said, "internal error: fault pause-1 crashed: as a test asked");
    let events = fs::read_to_string(sandbox.latest("panics").join("events.jsonl")).unwrap();
    let at = |event: &str| {
        let line = events.lines().find(|line| line.contains(event)).expect(event);
        serde_json::from_str::<serde_json::Value>(line).unwrap()["t_s"].as_f64().unwrap()
    };
    let took_s = at(r#""run-ended""#) - at(r#""harness-crashed""#);
    // Half a second, on a machine that has nothing else to do.
    assert!(took_s < 2.0, "{took_s} s\n{events}");
    assert!(begun.elapsed() < Duration::from_secs(15), "the sweep alone takes 10 s");
    sandbox.assert_that_nothing_lives();
}

/// The harness may write no file larger than so many blocks of 512 bytes, nor may what it starts.
fn with_little_room(sandbox: &Sandbox, blocks: u32, file: &str) -> Said {
    let harness = env!("CARGO_BIN_EXE_harness");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {harness} run {file}");
    let mut shell = Command::new("dash");
    finish(shell.args(["-c", &script]).current_dir(sandbox.path()))
}

#[test]
fn a_history_that_cannot_be_written_is_the_machines() {
    let sandbox = Sandbox::new();
    let lines = "\
sweep: { params: 400, chunk_size: 1, kernel: { reference: { work_ms: 1 } } }
backend: static
workers: 2
";
    let said = with_little_room(&sandbox, 32, &scenario(&sandbox, "full", lines));
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stdout.contains("why: cannot write runs/full/"), "{said}");
    assert!(said.stdout.contains("File too large"), "{said}");
}

#[test]
fn a_broker_that_has_no_room_is_the_machines() {
    let sandbox = Sandbox::new();
    let lines = "\
sweep: { params: 4000, chunk_size: 1, kernel: { reference: { work_ms: 1 } } }
backend: embedded
workers: 2
";
    let said = with_little_room(&sandbox, 1024, &scenario(&sandbox, "full", lines));
    assert!(matches!(said.code, Some(2 | 69)), "{said}");
    assert!(!said.stdout.contains("FAIL"), "{said}");
}

/// A program of this name that comes first in the search path.
fn first_in_path(sandbox: &Sandbox, name: &str, script: &str) -> String {
    let program = sandbox.write(name, &format!("#!/bin/sh\n{script}"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", sandbox.path().display())
}

#[test]
fn a_broker_that_does_not_start_is_69_with_how_its_log_ends() {
    let sandbox = Sandbox::new();
    let script = "\
[ \"$1\" = --version ] && { echo v=8.0; exit 0; }
while [ \"$1\" != --logfile ]; do shift; done
echo 'Fatal: out of cheese' >> \"$2\"
exit 1
";
    let path = first_in_path(&sandbox, "redis-server", script);
    let file = scenario(&sandbox, "fatal", REDIS);
    let said = finish(sandbox.harness(&["run", &file]).env("PATH", path));
    assert_eq!((said.code, said.stdout.as_str()), (Some(69), ""), "{said}");
    assert!(said.stderr.contains("redis-server does not start: exit status: 1"), "{said}");
    assert!(said.stderr.contains("Fatal: out of cheese"), "{said}");
}

#[test]
fn a_broker_that_ends_by_itself_is_the_machines() {
    let sandbox = Sandbox::new();
    // The real one, which somebody kills once there is a result.
    let script = "\
PATH=${PATH#*:}
[ \"$1\" = --version ] && exec redis-server --version
for argument; do [ \"$before\" = --dir ] && broker=$argument; before=$argument; done
(until grep -q '\"event\":\"result\"' \"$broker/../events.jsonl\"; do sleep 0.02; done; kill -KILL $$) &
exec redis-server \"$@\"
";
    let path = first_in_path(&sandbox, "redis-server", script);
    let file = scenario(&sandbox, "gone", REDIS);
    let said = finish(sandbox.harness(&["run", &file]).env("PATH", path));
    assert_eq!(said.code, Some(2), "{said}");
    assert_why(&sandbox, "gone", &said, "redis-server ended by itself (signal: 9 (SIGKILL))");
}

#[test]
fn a_directory_that_may_not_be_written_is_69_or_64() {
    let sandbox = Sandbox::new();
    let file = scenario(&sandbox, "nowhere", REDIS);
    let said = sandbox.run(&["run", &file, "--out", "/proc/nowhere"]);
    assert!(matches!(said.code, Some(64 | 69)), "{said}");
    assert!(said.stderr.contains("choose another directory with --out"), "{said}");
}
