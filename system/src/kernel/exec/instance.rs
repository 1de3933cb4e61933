//! One running instance of the program.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::answer;
use super::group::Group;
use crate::chunk::Chunk;

/// Longest line that a program may answer with, in bytes.
const LINE_BOUND: u64 = 16 << 20;

/// How many of the last lines of a program's standard error are kept for its failure.
const STDERR_LINES: usize = 10;

/// How long a program that has closed its standard output may take to end, and then its pipes to close.
const CLOSING: Duration = Duration::from_secs(1);

/// A program that runs. All that it has started ends when this is dropped.
#[derive(Debug)]
pub(super) struct Instance {
    group: Group,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: LastLines,
    begun: Instant,
    has_answered: bool,
}

/// Why there is no answer.
pub(super) enum Silence {
    /// The program has ended, or closed its standard output, at this age.
    Ended(Duration, String),
    /// It has said what it was not asked for.
    Nonsense(String),
}

impl Instance {
    /// Starts the command, in this group.
    pub(super) fn start(mut command: Command, mut group: Group) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(group.number())
            .kill_on_drop(true)
            .spawn()?;
        group.has_begun(child.id());
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let stderr = LastLines::of(child.stderr.take().expect("standard error is piped"));
        let begun = Instant::now();
        Ok(Self { group, child, stdin, stdout, stderr, begun, has_answered: false })
    }

    /// Whether it has not ended by itself since it was asked last.
    pub(super) fn is_there(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it has answered anything yet.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Asks for a chunk; the line of the answer.
    pub(super) async fn exchange(&mut self, chunk: &Chunk) -> Result<String, Silence> {
        if self.has_said_more().await {
            let reason = "the kernel wrote a line that nobody had asked for".to_owned();
            return Err(Silence::Nonsense(reason));
        }
        let asked = async {
            self.stdin.write_all(answer::request(chunk).as_bytes()).await?;
            self.stdin.flush().await
        };
        // A program may answer before it has read everything, so a failed write alone says little.
        let asked = asked.await;
        let mut line = Vec::new();
        let read = self.read_line(&mut line).await;
        let nonsense = match read {
            None | Some(Ok(0)) => {
                let age = self.begun.elapsed();
                return Err(Silence::Ended(age, self.last_words(asked.err()).await));
            }
            Some(Ok(_)) if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BOUND => {
                format!("the kernel answered with a line over {} MiB", LINE_BOUND >> 20)
            }
            Some(Ok(_)) if !self.stdout.buffer().is_empty() => {
                "the kernel answered with more than one line".to_owned()
            }
            Some(Ok(_)) => match String::from_utf8(line) {
                Ok(line) => {
                    self.has_answered = true;
                    return Ok(line);
                }
                Err(_) => "the kernel answered with bytes that are not UTF-8".to_owned(),
            },
            Some(Err(error)) => format!("cannot read the kernel's answer: {error}"),
        };
        Err(Silence::Nonsense(nonsense))
    }

    /// Waits until it ends, or closes its standard output, with nothing asked.
    pub(super) async fn ends_unasked(&mut self) {
        tokio::select! {
            _ = self.child.wait() => {}
            said = self.stdout.fill_buf() => match said {
                Ok([]) | Err(_) => {}
                // It lives, and says too much: its first chunk will tell.
                Ok(_) => std::future::pending().await,
            },
        }
    }

    /// Waits for output that nobody has asked for.
    #[cfg(test)]
    pub(super) async fn has_more(&mut self) {
        self.stdout.fill_buf().await.expect("it can be read");
    }

    /// Reads a line, to the end of the program and no further, whoever else holds its standard output;
    /// nothing where that has no end.
    async fn read_line(&mut self, line: &mut Vec<u8>) -> Option<std::io::Result<usize>> {
        let Self { stdout, child, group, .. } = self;
        let mut bounded = stdout.take(LINE_BOUND);
        let mut read = std::pin::pin!(bounded.read_until(b'\n', line));
        tokio::select! {
            biased;
            read = &mut read => Some(read),
            _ = child.wait() => {
                // What it wrote before is still in the pipe.
                group.end();
                timeout(CLOSING, read).await.ok()
            }
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

    /// How it ended, and what it said last.
    pub(super) async fn last_words(&mut self, write_error: Option<std::io::Error>) -> String {
        let mut reason = match timeout(CLOSING, self.child.wait()).await {
            Ok(Ok(status)) => format!("the kernel ended without an answer ({status})"),
            Ok(Err(error)) => format!("the kernel ended without an answer ({error})"),
            Err(_) => "the kernel closed its standard output without an answer, and lives on, so \
                       it was killed"
                .to_owned(),
        };
        self.group.end();
        // That nobody reads any more is clear by then.
        if let Some(error) = write_error.filter(|it| it.kind() != ErrorKind::BrokenPipe) {
            reason.push_str(&format!(", writing to it failed ({error})"));
        }
        let said = self.stderr.all().await;
        if !said.is_empty() {
            // A traceback stays readable as what it is: lines.
            reason.push_str(if said.len() == 1 { ": " } else { ":\n" });
            reason.push_str(&said.join("\n"));
        }
        reason
    }
}

/// The last lines of a program's standard error.
#[derive(Debug)]
struct LastLines {
    kept: Arc<Mutex<VecDeque<String>>>,
    /// Ends when nobody holds the pipe any more.
    reading: JoinHandle<()>,
}

impl LastLines {
    fn of(stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(STDERR_LINES)));
        let reading = tokio::spawn(keep(stderr, Arc::clone(&kept)));
        Self { kept, reading }
    }

    /// Those of a program that has ended. Who has left its group may hold the pipe for ever.
    async fn all(&mut self) -> Vec<String> {
        let _ = timeout(CLOSING, &mut self.reading).await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn keep(stderr: ChildStderr, kept: Arc<Mutex<VecDeque<String>>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(1..) = (&mut reader).take(4096).read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        tracing::debug!(kernel = %text);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == STDERR_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
    }
}
