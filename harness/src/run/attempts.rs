//! Attempts that fail while the sweep goes on: what the broker has waiting for another attempt, and
//! what workers say in their logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::interval;

use super::{Stage, Standing};
use crate::history::Event;

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);

/// How much of a log is read at a time, in bytes; what a worker writes beyond that is left out.
const MOST: u64 = 1 << 18;

/// How a worker of ours says that an attempt has failed.
const FAILED: &str = "an attempt failed";

/// Longest reason that is told, in bytes.
const REASON: usize = 2048;

/// Looks until the run is over, and tells whenever something has changed.
pub(super) async fn watch(stage: Rc<Stage>) {
    let mut look = interval(LOOK);
    let mut seen = Seen::default();
    let mut told = (0, 0);
    stage.until(|now| now.begun || now.is_over()).await;
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stage.until(Standing::is_over) => return,
        }
        // Nothing is told after the end.
        let waiting = tokio::select! {
            waiting = waiting(&stage) => waiting,
            () = stage.until(Standing::is_over) => return,
        };
        if stage.standing().is_over() {
            return;
        }
        for (name, path) in stage.fleet.worker_logs() {
            seen.read(&name, &path);
        }
        // Of foreign workers nothing else is known.
        let failed = seen.failed.max(waiting);
        seen.failed = failed;
        if (failed, waiting) != told {
            told = (failed, waiting);
            stage.emit(Event::Attempts { failed, waiting, reason: seen.reason.clone() });
        }
    }
}

/// Failed tasks that wait at the broker; none where it does not say.
async fn waiting(stage: &Stage) -> u64 {
    let Some(broker) = &stage.broker else { return 0 };
    broker.depths().await.map_or(0, |depths| depths.retry)
}

/// What workers have said so far.
#[derive(Debug, Default)]
struct Seen {
    /// How far each log is read.
    read: BTreeMap<String, u64>,
    failed: u64,
    reason: Option<String>,
}

impl Seen {
    /// Reads on in a log, up to its last whole line.
    fn read(&mut self, name: &str, path: &Path) {
        let at = self.read.entry(name.to_owned()).or_default();
        let Some(new) = read_on(path, at) else { return };
        for reason in new.lines().filter_map(failed_attempt) {
            self.failed += 1;
            self.reason = Some(reason);
        }
    }
}

fn read_on(path: &Path, at: &mut u64) -> Option<String> {
    let mut log = File::open(path).ok()?;
    let length = log.metadata().ok()?.len();
    if length == *at {
        return None;
    }
    // A log that writes faster than it is read is not caught up with.
    let from = if length < *at { 0 } else { (*at).max(length.saturating_sub(MOST)) };
    log.seek(SeekFrom::Start(from)).ok()?;
    let mut new = Vec::new();
    log.take(MOST).read_to_end(&mut new).ok()?;
    let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    new.truncate(whole);
    *at = from + whole as u64;
    Some(String::from_utf8_lossy(&new).into_owned())
}

/// The reason, where a line of a log tells of a failed attempt.
fn failed_attempt(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        reason: String,
    }
    if !line.contains(FAILED) {
        return None;
    }
    let reason = match line.strip_prefix('{') {
        Some(_) => serde_json::from_str(line).map(|Line { reason }| reason).ok(),
        None => line.split_once(" reason=").and_then(|(_, reason)| in_quotes(reason)),
    };
    let reason = reason.unwrap_or_default();
    let bounded = reason.char_indices().take_while(|(at, _)| *at < REASON);
    Some(bounded.map(|(_, c)| c).collect())
}

/// What is in the quotes that a text begins with, as Rust's `Debug` writes it.
fn in_quotes(text: &str) -> Option<String> {
    let mut chars = text.strip_prefix('"')?.chars();
    let mut said = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(said),
            '\\' => match chars.next()? {
                'n' => said.push('\n'),
                't' => said.push('\t'),
                c @ ('"' | '\\' | '\'') => said.push(c),
                _ => said.push(' '),
            },
            c => said.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_reason_is_read_from_either_form_of_a_log() {
        let text = r#"2026-01-02T03:04:05.678Z  WARN an attempt failed chunk=00017 reason="the kernel \"k\":\nTraceback" outcome=Retried"#;
        assert_eq!(failed_attempt(text).as_deref(), Some("the kernel \"k\":\nTraceback"));
        let json =
            r#"{"level":"WARN","message":"an attempt failed","chunk":"00017","reason":"no luck"}"#;
        assert_eq!(failed_attempt(json).as_deref(), Some("no luck"));
        assert_eq!(failed_attempt("2026 INFO a worker has come"), None);
        assert_eq!(failed_attempt("an attempt failed").as_deref(), Some(""));
    }

    #[test]
    fn a_log_is_read_on_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker-0.log");
        let mut log = File::create(&path).unwrap();
        let mut seen = Seen::default();
        let line =
            |n: u32| format!("WARN an attempt failed chunk=00001 reason=\"no luck {n}\" x\n");
        write!(log, "{}{}", line(1), &line(2)[..20]).unwrap();
        seen.read("worker-0", &path);
        assert_eq!((seen.failed, seen.reason.as_deref()), (1, Some("no luck 1")));
        write!(log, "{}", &line(2)[20..]).unwrap();
        seen.read("worker-0", &path);
        seen.read("worker-0", &path);
        assert_eq!((seen.failed, seen.reason.as_deref()), (2, Some("no luck 2")));
    }

    #[test]
    fn a_log_that_grows_too_fast_is_not_caught_up_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("worker-0.log");
        let line = "WARN an attempt failed reason=\"no luck\" x\n";
        std::fs::write(&path, line.repeat(20_000)).unwrap();
        let mut seen = Seen::default();
        seen.read("worker-0", &path);
        assert!(seen.failed > 0 && seen.failed < 20_000, "{}", seen.failed);
        seen.read("nobody", Path::new("/nonexistent"));
    }
}
