//! Programs of every kind, real ones.

use std::fs;
use std::path::Path;

use super::*;

const CHUNK: Chunk = Chunk { index: 3, start: 10, end: 12 };

fn python(body: &str) -> Exec {
    let program = format!(
        "import sys, json, os, time\nfor line in sys.stdin:\n    c = json.loads(line)\n{body}"
    );
    Exec::new(vec!["python3".into(), "-u".into(), "-c".into(), program], None)
}

fn shell(script: &str) -> Exec {
    Exec::new(vec!["sh".into(), "-c".into(), script.into()], None)
}

async fn failed(kernel: &mut Exec) -> String {
    match kernel.run(&CHUNK).await.expect_err("fails") {
        KernelError::Failed(reason) => reason,
        KernelError::Unusable(reason) => panic!("it can be used: {reason}"),
    }
}

async fn unusable(kernel: &mut Exec) -> String {
    match kernel.run(&CHUNK).await.expect_err("fails") {
        KernelError::Failed(reason) => panic!("it is no fault of the chunk: {reason}"),
        KernelError::Unusable(reason) => reason,
    }
}

/// Waits until the process of this number, which a program wrote to a file, is gone or dead.
async fn has_ended(file: &Path) {
    let pid = fs::read_to_string(file).expect("the program wrote it");
    let stat = format!("/proc/{}/stat", pid.trim());
    let lives = || {
        let stat = fs::read_to_string(&stat).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
    };
    timeout(Duration::from_secs(20), async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("a process of the group lives on");
}

#[tokio::test]
async fn a_program_is_kept_running_and_answers_chunk_after_chunk() {
    let mut kernel = python(
        "    n = globals().get('n', 0) + 1\n    print(json.dumps({'values': [n, c['start_param']]}))",
    );
    let first = kernel.run(&CHUNK).await.expect("answers");
    let second = kernel.run(&CHUNK).await.expect("answers");
    assert_eq!((first.min, second.min, second.sum), (1.0, 2.0, 12.0));
}

#[tokio::test]
async fn a_reported_error_is_kept_and_the_program_goes_on() {
    let mut kernel = python("    print(json.dumps({'error': 'no such point'}))");
    for _ in 0..2 {
        assert_eq!(failed(&mut kernel).await, "the kernel reported: no such point");
    }
    assert!(kernel.running.is_some());
}

#[tokio::test]
async fn nonsense_fails_the_attempt_and_ends_the_program() {
    let mut kernel = python("    print('hello')");
    let error = failed(&mut kernel).await;
    assert!(error.ends_with("which is no JSON (print to standard error instead)"), "{error}");
    assert!(kernel.running.is_none());
}

#[tokio::test]
async fn a_line_too_many_fails_the_attempt_instead_of_answering_the_next_chunk() {
    let mut kernel =
        python(r#"    sys.stdout.write('{"values":[1,2]}\n' * 2); sys.stdout.flush()"#);
    assert_eq!(failed(&mut kernel).await, "the kernel answered with more than one line");
    assert!(kernel.running.is_none());
}

#[tokio::test]
async fn a_line_between_two_chunks_fails_the_next_attempt() {
    let mut kernel =
        python("    for _ in 1, 2: print(json.dumps({'values': [1, 2]})); time.sleep(0.05)");
    kernel.run(&CHUNK).await.expect("answers");
    let instance = kernel.running.as_mut().expect("it answered in good order");
    instance.has_more().await;
    assert_eq!(failed(&mut kernel).await, "the kernel wrote a line that nobody had asked for");
}

#[tokio::test]
async fn a_death_is_reported_with_what_the_program_said() {
    let mut kernel =
        python("    sys.stderr.write('out of cheese\\n'); sys.stderr.close(); sys.exit(3)");
    let error = failed(&mut kernel).await;
    assert_eq!(error, "the kernel ended without an answer (exit status: 3): out of cheese");
}

#[tokio::test]
async fn a_traceback_is_reported_in_lines() {
    let mut kernel = python("    import no_such_module");
    let error = failed(&mut kernel).await;
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "the kernel ended without an answer (exit status: 1):", "{error}");
    assert_eq!(lines[1], "Traceback (most recent call last):", "{error}");
    let last = "ModuleNotFoundError: No module named 'no_such_module'";
    assert_eq!(lines.last(), Some(&last), "{error}");
}

#[tokio::test]
async fn a_program_that_has_ended_after_its_answer_is_started_again() {
    let mut kernel = python("    print(json.dumps({'values': [1, os.getpid()]})); sys.exit()");
    let first = kernel.run(&CHUNK).await.expect("answers");
    let instance = kernel.running.as_mut().expect("it answered in good order");
    while instance.is_there() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = kernel.run(&CHUNK).await.expect("answers");
    assert_ne!(first.max, second.max, "another process");
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_no_fault_of_the_chunk() {
    let directory = tempfile::tempdir().expect("a directory");
    let no_interpreter = directory.path().join("kernel");
    fs::write(&no_interpreter, "#!/no/such/interpreter\n").expect("writes");
    for program in ["no-such-program", "/", no_interpreter.to_str().expect("text")] {
        let error = unusable(&mut Exec::new(vec![program.into()], None)).await;
        assert!(error.starts_with(&format!("cannot start the kernel {program:?}: ")), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_ends_whatever_it_is_asked_is_no_fault_of_the_chunk() {
    let error = unusable(&mut shell("echo no licence >&2; exit 3")).await;
    insta::assert_snapshot!(error, @"the kernel was started again, and ends before it is asked for a chunk: the kernel ended without an answer (exit status: 3): no licence");
}

#[tokio::test]
async fn a_chunk_that_ends_its_program_is_at_fault_and_the_next_one_finds_another_running() {
    let mut kernel = python(
        "    if c['start_param'] == 10: os.kill(os.getpid(), 9)\n    print(json.dumps({'values': [7]}))",
    );
    let error = failed(&mut kernel).await;
    assert_eq!(error, "the kernel ended without an answer (signal: 9 (SIGKILL))");
    assert!(kernel.running.is_some());
    let next = Chunk { index: 4, start: 12, end: 13 };
    assert_eq!(kernel.run(&next).await.expect("answers").sum, 7.0);
}

#[tokio::test]
async fn the_end_of_the_program_ends_the_attempt_whoever_holds_its_output() {
    let mut kernel = shell("read -r line; sleep 600 & kill -9 $$");
    let begun = tokio::time::Instant::now();
    assert_eq!(
        failed(&mut kernel).await,
        "the kernel ended without an answer (signal: 9 (SIGKILL))"
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_counts_though_the_program_ends_and_leaves_others_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let script = format!(
        "read -r line; sleep 600 & echo $! > {}; echo '{{\"values\":[1,2]}}'",
        file.display()
    );
    let mut kernel = shell(&script);
    assert_eq!(kernel.run(&CHUNK).await.expect("answers").sum, 3.0);
    drop(kernel);
    has_ended(&file).await;
}

#[tokio::test]
async fn who_closes_the_output_and_lives_on_is_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let script = format!("read -r line; echo $$ > {}; exec 1>&-; sleep 600", file.display());
    let error = failed(&mut shell(&script)).await;
    assert!(
        error.contains("closed its standard output without an answer, and lives on"),
        "{error}"
    );
    has_ended(&file).await;
}

#[tokio::test]
async fn a_chunk_that_takes_too_long_fails_and_nothing_of_the_program_lives_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    // The shell waits for another process, which does the work.
    let mut kernel =
        shell(&format!("read -r line; sleep 600 & echo $! > {}; wait", file.display()));
    kernel.timeout = Some(Duration::from_millis(500));
    assert_eq!(failed(&mut kernel).await, "the kernel took longer than 500ms");
    has_ended(&file).await;
}

#[tokio::test]
async fn an_attempt_that_is_given_up_ends_the_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    let mut kernel =
        shell(&format!("read -r line; sleep 600 & echo $! > {}; wait", file.display()));
    let given_up = async {
        while !fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = kernel.run(&CHUNK) => panic!("it takes its time"),
        () = given_up => {}
    }
    has_ended(&file).await;
}
