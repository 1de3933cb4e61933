//! Writing the history down while the run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::seal::Sealing;
use super::{Event, FILE_NAME, Record};
use crate::plan::Plan;

/// Appends events to a run directory's history, one JSON object a line, each with one write: what
/// was recorded survives the death of the harness. The end of the run is written with a seal over
/// the plan and all before it, which whoever tells of that end needs not know.
#[derive(Debug)]
pub struct Recorder<W = File> {
    path: PathBuf,
    to: W,
    line: Vec<u8>,
    sealing: Sealing,
    failed: bool,
}

/// The history could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write {}: {source}; the run goes on, but without its full history it cannot pass \
     (make room or choose another run directory)",
    path.display()
)]
pub struct RecordError {
    path: PathBuf,
    source: io::Error,
}

impl RecordError {
    /// Of which kind the cause is.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl Recorder {
    /// Begins the history in this run directory, which holds the plan already, and no history.
    pub fn create(run_directory: &Path) -> Result<Self, RecordError> {
        let plan = run_directory.join(Plan::FILE_NAME);
        let plan = match std::fs::read(&plan) {
            Ok(plan) => plan,
            Err(source) => return Err(RecordError { path: plan, source }),
        };
        let path = run_directory.join(FILE_NAME);
        match OpenOptions::new().create_new(true).append(true).open(&path) {
            Ok(file) => Ok(Self::new(path, file, &plan)),
            Err(source) => Err(RecordError { path, source }),
        }
    }
}

impl<W: Write> Recorder<W> {
    fn new(path: PathBuf, to: W, plan: &[u8]) -> Self {
        Self { path, to, line: Vec::new(), sealing: Sealing::new(plan), failed: false }
    }

    /// Appends one event. The first failure is returned, for the caller to report and to hand to
    /// the judge; from then on nothing more is written, so that the file has no hole in its
    /// middle and no seal at its end, and nothing more is said.
    pub fn record(&mut self, record: &Record) -> Result<(), RecordError> {
        if self.failed {
            return Ok(());
        }
        self.line.clear();
        let written = record.write(&mut self.line).map_err(io::Error::from).and_then(|()| {
            if let Event::RunEnded { .. } = record.event {
                self.sealing.seal(&mut self.line);
            } else {
                self.line.push(b'\n');
            }
            self.to.write_all(&self.line)
        });
        self.sealing.line(&self.line);
        written.map_err(|source| {
            self.failed = true;
            RecordError { path: self.path.clone(), source }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{EndReason, read};

    /// A run directory with a plan in it.
    fn planned() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(Plan::FILE_NAME), "{}").unwrap();
        dir
    }

    fn record(t_s: f64) -> Record {
        Record { t_s, event: Event::SweepStarted }
    }

    #[test]
    fn what_is_recorded_reads_back_at_once() {
        let dir = planned();
        let mut recorder = Recorder::create(dir.path()).unwrap();
        recorder.record(&record(0.1)).unwrap();
        recorder.record(&record(0.2)).unwrap();
        let back: Vec<_> =
            read(&dir.path().join(FILE_NAME)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(back, [record(0.1), record(0.2)]);
    }

    #[test]
    fn the_end_is_sealed_and_reads_back_as_it_was_told() {
        let dir = planned();
        let path = dir.path().join(FILE_NAME);
        let ended = Record { t_s: 0.3, event: Event::RunEnded { why: EndReason::Complete } };
        let mut recorder = Recorder::create(dir.path()).unwrap();
        recorder.record(&record(0.1)).unwrap();
        recorder.record(&ended).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"why\":\"complete\",\"records\":1,\"hash\":\""), "{text}");
        let mut reader = read(&path).unwrap().sealed_with(b"{}");
        let back: Vec<_> = reader.by_ref().collect::<Result<_, _>>().unwrap();
        assert_eq!((back, reader.unsealed()), (vec![record(0.1), ended], None));
    }

    #[test]
    fn a_history_that_is_there_already_is_left_alone() {
        let dir = planned();
        Recorder::create(dir.path()).unwrap().record(&record(1.0)).unwrap();
        let error = Recorder::create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("events.jsonl: File exists"), "{error}");
        assert_eq!(read(&dir.path().join(FILE_NAME)).unwrap().count(), 1);
    }

    /// Fails the second write, and only that.
    struct FullOnce(u32);

    impl Write for FullOnce {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 == 2 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failed_write_is_reported_once_and_nothing_is_written_after_it() {
        let mut recorder = Recorder::new("run/events.jsonl".into(), FullOnce(0), b"{}");
        recorder.record(&record(0.1)).unwrap();
        let error = recorder.record(&record(0.2)).unwrap_err();
        insta::assert_snapshot!(error, @"cannot write run/events.jsonl: no storage space; the run goes on, but without its full history it cannot pass (make room or choose another run directory)");
        recorder.record(&record(0.3)).unwrap();
        assert_eq!(recorder.to.0, 2, "no write after the failed one");
    }

    #[test]
    fn a_run_directory_that_is_not_there_is_named() {
        let error = Recorder::create(Path::new("/nonexistent/run")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nonexistent/run/plan.json: "));
    }
}
