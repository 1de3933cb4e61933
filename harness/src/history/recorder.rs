//! Writing the history down while the run goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{FILE_NAME, Record};

/// Appends events to a run directory's history, one JSON object a line, each with one write: what
/// was recorded survives the death of the harness.
#[derive(Debug)]
pub struct Recorder<W = File> {
    path: PathBuf,
    to: W,
    line: Vec<u8>,
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
    /// Opens the history in this run directory, at its end.
    pub fn create(run_directory: &Path) -> Result<Self, RecordError> {
        let path = run_directory.join(FILE_NAME);
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(Self::new(path, file)),
            Err(source) => Err(RecordError { path, source }),
        }
    }
}

impl<W: Write> Recorder<W> {
    fn new(path: PathBuf, to: W) -> Self {
        Self { path, to, line: Vec::new(), failed: false }
    }

    /// Appends one event. The first failure is returned, for the caller to report and to hand to
    /// the judge; from then on nothing more is written, so that the file has no hole in its
    /// middle, and nothing more is said.
    pub fn record(&mut self, record: &Record) -> Result<(), RecordError> {
        if self.failed {
            return Ok(());
        }
        self.line.clear();
        let written =
            serde_json::to_writer(&mut self.line, record).map_err(io::Error::from).and_then(|()| {
                self.line.push(b'\n');
                self.to.write_all(&self.line)
            });
        written.map_err(|source| {
            self.failed = true;
            RecordError { path: self.path.clone(), source }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, read};

    fn record(t_s: f64) -> Record {
        Record { t_s, event: Event::SweepStarted }
    }

    #[test]
    fn what_is_recorded_reads_back_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(dir.path()).unwrap();
        recorder.record(&record(0.1)).unwrap();
        recorder.record(&record(0.2)).unwrap();
        let back: Vec<_> =
            read(&dir.path().join(FILE_NAME)).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(back, [record(0.1), record(0.2)]);
    }

    #[test]
    fn a_second_recorder_appends() {
        let dir = tempfile::tempdir().unwrap();
        Recorder::create(dir.path()).unwrap().record(&record(1.0)).unwrap();
        Recorder::create(dir.path()).unwrap().record(&record(2.0)).unwrap();
        assert_eq!(read(&dir.path().join(FILE_NAME)).unwrap().count(), 2);
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
        let mut recorder = Recorder::new("run/events.jsonl".into(), FullOnce(0));
        recorder.record(&record(0.1)).unwrap();
        let error = recorder.record(&record(0.2)).unwrap_err();
        insta::assert_snapshot!(error, @"cannot write run/events.jsonl: no storage space; the run goes on, but without its full history it cannot pass (make room or choose another run directory)");
        recorder.record(&record(0.3)).unwrap();
        assert_eq!(recorder.to.0, 2, "no write after the failed one");
    }

    #[test]
    fn a_run_directory_that_is_not_there_is_named() {
        let error = Recorder::create(Path::new("/nonexistent/run")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nonexistent/run/events.jsonl: "));
    }
}
