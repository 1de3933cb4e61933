//! A user's own program as the kernel: one JSON line per chunk in, one out.
//!
//! In: `{"chunk_id":"00042","start_param":4200,"end_param":4300}`.
//! Out: `{"values":[…]}`, one number per parameter, or the chunk's
//! `{"sum":…,"count":…,"min":…,"max":…}`, or `{"error":"…"}`. One line too many would be taken for
//! the next chunk's answer, and shift all that follow: a program that says more than it was asked
//! is not trusted. It may repeat the `chunk_id`, which then must be the chunk's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::Kernel;
use crate::chunk::Chunk;
use crate::stats::{Collector, Stats};

/// Longest line that a program may answer with, in bytes.
const LINE_BOUND: u64 = 16 << 20;

/// How many of the last lines of a program's standard error are kept for its failure.
const STDERR_LINES: usize = 10;

/// How long to wait for those lines where a child of the program's keeps its standard error open.
const STDERR_WAIT: Duration = Duration::from_secs(1);

/// Keeps one instance of the program running and gives it chunk after chunk. An instance that
/// failed, or was interrupted, is killed: its answers could no longer be told apart.
#[derive(Debug)]
pub struct Exec {
    command: Vec<String>,
    timeout: Option<Duration>,
    /// All of its environment variables, where they are not those of this process.
    environment: Option<Vec<(OsString, OsString)>>,
    running: Option<Instance>,
}

#[derive(Debug)]
struct Instance {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Ends with the program, with the last lines that it wrote.
    stderr: JoinHandle<VecDeque<String>>,
}

#[derive(Serialize)]
struct Request {
    chunk_id: String,
    start_param: u64,
    end_param: u64,
}

#[derive(Deserialize)]
struct Answer {
    chunk_id: Option<String>,
    error: Option<String>,
    values: Option<Vec<f64>>,
    sum: Option<f64>,
    count: Option<u64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Exec {
    /// A kernel that runs `command` (program and arguments; no shell). A chunk that takes longer
    /// than `timeout` fails.
    pub fn new(command: Vec<String>, timeout: Option<Duration>) -> Self {
        Self { command, timeout, environment: None, running: None }
    }

    /// The same with these environment variables, and no others.
    #[must_use]
    pub fn in_environment(self, variables: Vec<(OsString, OsString)>) -> Self {
        Self { environment: Some(variables), ..self }
    }

    fn start(&self) -> Result<Instance, String> {
        let (program, arguments) =
            self.command.split_first().ok_or("the kernel's command is empty")?;
        let mut command = Command::new(program);
        if let Some(variables) = &self.environment {
            command.env_clear().envs(variables.iter().cloned());
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start the kernel {program:?}: {error}"))?;
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let stderr = keep_last_lines(child.stderr.take().expect("standard error is piped"));
        Ok(Instance { child, stdin, stdout, stderr })
    }
}

#[async_trait(?Send)]
impl Kernel for Exec {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, String> {
        // Taken out for the time of the exchange: a future dropped in the middle kills it.
        let mut instance = match self.running.take() {
            Some(instance) => instance,
            None => self.start()?,
        };
        let exchange = instance.exchange(chunk);
        let answer = match self.timeout {
            None => exchange.await,
            Some(limit) => tokio::time::timeout(limit, exchange)
                .await
                .unwrap_or_else(|_| Err(format!("the kernel took longer than {limit:?}"))),
        }?;
        let stats = judge(&answer, chunk)?;
        self.running = Some(instance);
        stats
    }
}

impl Instance {
    async fn exchange(&mut self, chunk: &Chunk) -> Result<String, String> {
        let request = Request {
            chunk_id: chunk.id().to_string(),
            start_param: chunk.start,
            end_param: chunk.end,
        };
        if self.has_said_more().await {
            return Err("the kernel wrote a line that nobody had asked for".to_owned());
        }
        let mut line = serde_json::to_string(&request).expect("a request is plain data");
        line.push('\n');
        let asked = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        // A program may answer before it has read everything, so a failed write alone says little.
        let asked = asked.await;
        let mut answer = Vec::new();
        let read = (&mut self.stdout).take(LINE_BOUND).read_until(b'\n', &mut answer).await;
        match read {
            Ok(0) => Err(self.death(asked.err()).await),
            Ok(_) if answer.last() != Some(&b'\n') && answer.len() as u64 == LINE_BOUND => {
                Err(format!("the kernel answered with a line over {} MiB", LINE_BOUND >> 20))
            }
            Ok(_) if !self.stdout.buffer().is_empty() => {
                Err("the kernel answered with more than one line".to_owned())
            }
            Ok(_) => String::from_utf8(answer)
                .map_err(|_| "the kernel answered with bytes that are not UTF-8".to_owned()),
            Err(error) => Err(format!("cannot read the kernel's answer: {error}")),
        }
    }

    /// Whether there is output before a question.
    async fn has_said_more(&mut self) -> bool {
        tokio::select! {
            biased;
            said = self.stdout.fill_buf() => said.is_ok_and(|said| !said.is_empty()),
            () = tokio::task::yield_now() => false,
        }
    }

    async fn death(&mut self, write_error: Option<std::io::Error>) -> String {
        let status = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let mut reason = format!("the kernel ended without an answer ({status})");
        // That nobody reads any more is clear by then.
        if let Some(error) = write_error.filter(|it| it.kind() != ErrorKind::BrokenPipe) {
            reason.push_str(&format!(", writing to it failed ({error})"));
        }
        if let Ok(Ok(said)) = tokio::time::timeout(STDERR_WAIT, &mut self.stderr).await
            && !said.is_empty()
        {
            // A traceback stays readable as what it is: lines.
            reason.push_str(if said.len() == 1 { ": " } else { ":\n" });
            reason.push_str(&Vec::from(said).join("\n"));
        }
        reason
    }
}

/// The outer error is nonsense, after which the instance is not trusted any more; the inner one
/// is a failure that the program reported in good order.
fn judge(line: &str, chunk: &Chunk) -> Result<Result<Stats, String>, String> {
    let answer: Answer = serde_json::from_str(line).map_err(|error| {
        let shown: String = line.trim_end().chars().take(200).collect();
        format!("the kernel answered {shown:?}, which is not its JSON: {error}")
    })?;
    if let Some(other) = answer.chunk_id.filter(|id| *id != chunk.id().to_string()) {
        return Err(format!("the kernel answered for chunk {other:?}, not {}", chunk.id()));
    }
    if let Some(error) = answer.error {
        return Ok(Err(format!("the kernel reported: {error}")));
    }
    let stats = match answer {
        Answer { values: Some(values), .. } => {
            let mut collector = Collector::default();
            values.iter().for_each(|value| collector.add(*value));
            collector.stats().ok_or("the kernel answered with no values")?
        }
        Answer { sum: Some(sum), count: Some(count), min: Some(min), max: Some(max), .. } => {
            Stats { sum, count, min, max, avg: sum / count as f64 }
        }
        _ => return Err("the kernel's answer has neither values nor sum, count, min, max".into()),
    };
    if stats.count != chunk.params() {
        return Err(format!(
            "the kernel answered for {} parameters of the chunk's {}",
            stats.count,
            chunk.params()
        ));
    }
    // JSON has no infinity: such a result could be committed, and never be read.
    if ![stats.sum, stats.min, stats.max, stats.avg].iter().all(|value| value.is_finite()) {
        return Err("the kernel's values add up to more than a number can hold".to_owned());
    }
    Ok(Ok(stats))
}

fn keep_last_lines(stderr: ChildStderr) -> JoinHandle<VecDeque<String>> {
    tokio::spawn(async move {
        let mut kept = VecDeque::with_capacity(STDERR_LINES);
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut reader).take(4096).read_until(b'\n', &mut line).await {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            tracing::debug!(kernel = %text);
            if kept.len() == STDERR_LINES {
                kept.pop_front();
            }
            kept.push_back(text);
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: Chunk = Chunk { index: 3, start: 10, end: 12 };

    fn python(body: &str) -> Exec {
        let program =
            format!("import sys, json\nfor line in sys.stdin:\n    c = json.loads(line)\n{body}");
        Exec::new(vec!["python3".into(), "-u".into(), "-c".into(), program], None)
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
            let error = kernel.run(&CHUNK).await.expect_err("fails");
            assert_eq!(error, "the kernel reported: no such point");
        }
        assert!(kernel.running.is_some());
    }

    #[tokio::test]
    async fn nonsense_fails_the_attempt_and_ends_the_program() {
        let mut kernel = python("    print('hello')");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert!(
            error.starts_with("the kernel answered \"hello\", which is not its JSON"),
            "{error}"
        );
        assert!(kernel.running.is_none());
    }

    #[tokio::test]
    async fn a_short_answer_fails_the_attempt() {
        let mut kernel = python("    print(json.dumps({'values': [1]}))");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel answered for 1 parameters of the chunk's 2");
    }

    #[tokio::test]
    async fn a_line_too_many_fails_the_attempt_instead_of_answering_the_next_chunk() {
        let mut kernel =
            python(r#"    sys.stdout.write('{"values":[1,2]}\n' * 2); sys.stdout.flush()"#);
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel answered with more than one line");
        assert!(kernel.running.is_none());
    }

    #[tokio::test]
    async fn a_line_between_two_chunks_fails_the_next_attempt() {
        let mut kernel = python(
            "    import time\n    for _ in 1, 2: print(json.dumps({'values': [1, 2]})); time.sleep(0.05)",
        );
        kernel.run(&CHUNK).await.expect("answers");
        let instance = kernel.running.as_mut().expect("it answered in good order");
        instance.stdout.fill_buf().await.expect("the second line comes");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel wrote a line that nobody had asked for");
    }

    #[tokio::test]
    async fn an_answer_for_another_chunk_fails_the_attempt() {
        let mut kernel = python("    print(json.dumps({'chunk_id': '00002', 'values': [1, 2]}))");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel answered for chunk \"00002\", not 00003");
    }

    #[tokio::test]
    async fn a_sum_that_no_number_can_hold_fails_the_attempt() {
        let mut kernel = python("    print(json.dumps({'values': [1e308, 1e308]}))");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel's values add up to more than a number can hold");
    }

    #[tokio::test]
    async fn a_death_is_reported_with_what_the_program_said() {
        let mut kernel =
            python("    sys.stderr.write('out of cheese\\n'); sys.stderr.close(); sys.exit(3)");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert!(
            error.starts_with("the kernel ended without an answer (exit status: 3)"),
            "{error}"
        );
        assert!(error.ends_with(": out of cheese"), "{error}");
    }

    #[tokio::test]
    async fn a_traceback_is_reported_in_lines() {
        let mut kernel = python("    import no_such_module");
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "the kernel ended without an answer (exit status: 1):", "{error}");
        assert_eq!(lines[1], "Traceback (most recent call last):", "{error}");
        let last = "ModuleNotFoundError: No module named 'no_such_module'";
        assert_eq!(lines.last(), Some(&last), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let mut kernel = Exec::new(vec!["no-such-program".into()], None);
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert!(error.starts_with("cannot start the kernel \"no-such-program\""), "{error}");
    }

    #[tokio::test]
    async fn a_chunk_that_takes_too_long_fails() {
        let mut kernel = python("    pass");
        kernel.timeout = Some(Duration::from_millis(50));
        let error = kernel.run(&CHUNK).await.expect_err("fails");
        assert_eq!(error, "the kernel took longer than 50ms");
    }
}
