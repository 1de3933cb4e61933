//! Reading a history back, one event at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::seal::{Sealed, Sealing};
use super::{Event, Record};

/// The longest line that is read, in bytes: far longer than any that is written.
pub const MAX_LINE: usize = 1 << 20;

/// A history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}; name a directory that `harness run` wrote", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no event.
    #[error(
        "{}:{line}: not an event ({source}); the file was changed or is of another version",
        path.display()
    )]
    Garbage {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than [`MAX_LINE`].
    #[error(
        "{}:{line}: longer than {MAX_LINE} bytes, which no event is; the file was changed",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
}

/// Opens a history for reading.
pub fn read(path: &Path) -> Result<Reader, ReadError> {
    let file =
        File::open(path).map_err(|source| ReadError::Io { path: path.to_path_buf(), source })?;
    Ok(Reader {
        path: path.to_path_buf(),
        from: BufReader::new(file),
        buffer: Vec::new(),
        line: 0,
        truncated: false,
        done: false,
        sealing: None,
        seal: Seal::None,
    })
}

/// The events of a history, in the order of the file. It ends after the first error.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    from: BufReader<File>,
    buffer: Vec<u8>,
    line: u64,
    truncated: bool,
    done: bool,
    /// Where the seal is looked at.
    sealing: Option<Sealing>,
    seal: Seal,
}

/// What was seen of the seal.
#[derive(Debug)]
enum Seal {
    None,
    Holds,
    Broken(String),
}

impl Reader {
    /// Also looks whether the history is sealed, as one of this plan: the bytes of its file.
    #[must_use]
    pub fn sealed_with(mut self, plan: &[u8]) -> Self {
        self.sealing = Some(Sealing::new(plan));
        self
    }

    /// Why the history does not prove itself, if it does not; known at the end, of one that is
    /// [`sealed_with`](Self::sealed_with) a plan.
    pub fn unsealed(&self) -> Option<&str> {
        match &self.seal {
            Seal::Holds => None,
            Seal::Broken(why) => Some(why),
            Seal::None => Some(
                "the history is not sealed: the last line of a whole one carries the number of \
                 its records and a hash over them",
            ),
        }
    }

    /// Whether the last line was cut off in the middle, as by a crash; known at the end. Such a
    /// line is left out.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        self.buffer.clear();
        self.line += 1;
        let limit = MAX_LINE as u64 + 1;
        (&mut self.from)
            .take(limit)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let whole = self.buffer.last() == Some(&b'\n');
        if !whole && self.buffer.len() > MAX_LINE {
            return Err(ReadError::TooLong { path: self.path.clone(), line: self.line });
        }
        match self.parse() {
            Ok(record) => Ok(Some(record)),
            Err(_) if !whole => {
                self.truncated = true;
                Ok(None)
            }
            Err(source) => {
                Err(ReadError::Garbage { path: self.path.clone(), line: self.line, source })
            }
        }
    }

    /// Reads the line that is in the buffer. The seal is of the file, not of the event: only the end
    /// of a run can carry one.
    fn parse(&mut self) -> Result<Record, serde_json::Error> {
        let sealed = Sealed::of(&self.buffer).and_then(|sealed| {
            let record = Record::read(&sealed.event).ok()?;
            matches!(record.event, Event::RunEnded { .. }).then_some((sealed, record))
        });
        let Some(lines) = &mut self.sealing else {
            return sealed.map_or_else(|| Record::read(&self.buffer), |(_, record)| Ok(record));
        };
        if let Seal::Holds = self.seal {
            self.seal = Seal::Broken(
                "the history was changed after it was written: there are lines after its seal"
                    .to_owned(),
            );
        }
        let parsed = match sealed {
            None => Record::read(&self.buffer),
            Some((sealed, record)) => {
                if let Seal::None = self.seal {
                    self.seal = sealed.broken(lines).map_or(Seal::Holds, Seal::Broken);
                }
                Ok(record)
            }
        };
        lines.line(&self.buffer);
        parsed
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_record().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::EndReason;

    const GOOD: &str = "{\"t_s\":0.5,\"event\":\"sweep-started\"}\n";

    fn read_text(text: &str) -> (Vec<Result<Record, ReadError>>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut reader = read(&path).unwrap();
        let records = reader.by_ref().collect();
        (records, reader.truncated())
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_left_out_and_reported() {
        let (records, truncated) = read_text(&format!("{GOOD}{}", &GOOD[..20]));
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].as_ref().unwrap().event, Event::SweepStarted);
        assert!(truncated);
    }

    #[test]
    fn a_last_line_without_its_newline_counts() {
        let (records, truncated) = read_text(GOOD.trim_end());
        assert_eq!((records.len(), truncated), (1, false));
    }

    #[test]
    fn garbage_is_an_error_with_the_line_number_and_ends_the_reading() {
        let (records, truncated) = read_text(&format!("{GOOD}what\n{GOOD}"));
        assert_eq!((records.len(), truncated), (2, false));
        let error = records[1].as_ref().unwrap_err();
        assert!(matches!(error, ReadError::Garbage { line: 2, .. }), "{error}");
        assert!(error.to_string().contains("events.jsonl:2: not an event"), "{error}");
    }

    #[test]
    fn a_line_beyond_the_bound_is_an_error_even_if_it_is_the_last() {
        let (records, _) = read_text(&format!("{GOOD}{}", "x".repeat(MAX_LINE + 1)));
        assert!(matches!(records[1], Err(ReadError::TooLong { line: 2, .. })));
    }

    /// What is said of the seal of a history of the plan `{}`.
    fn unsealed(text: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut reader = read(&path).unwrap().sealed_with(b"{}");
        reader.by_ref().for_each(drop);
        reader.unsealed().map(str::to_owned)
    }

    /// [`GOOD`] twice, and a sealed end.
    fn sealed() -> String {
        let mut end = Vec::new();
        let ended = Record { t_s: 0.6, event: Event::RunEnded { why: EndReason::Complete } };
        ended.write(&mut end).unwrap();
        let mut lines = Sealing::new(b"{}");
        lines.line(GOOD.as_bytes());
        lines.line(GOOD.as_bytes());
        lines.seal(&mut end);
        format!("{GOOD}{GOOD}{}", String::from_utf8(end).unwrap())
    }

    #[test]
    fn a_sealed_history_proves_itself() {
        assert_eq!(unsealed(&sealed()), None);
    }

    #[test]
    fn one_without_its_last_line_or_without_its_seal_is_not_sealed() {
        let without =
            format!("{GOOD}{{\"t_s\":0.6,\"event\":\"run-ended\",\"why\":\"complete\"}}\n");
        for text in ["", GOOD, &without] {
            let why = unsealed(text).unwrap();
            assert!(why.starts_with("the history is not sealed"), "{why}");
        }
    }

    #[test]
    fn a_line_that_was_taken_out_changed_or_put_behind_the_end_breaks_the_seal() {
        let (whole, changed) = (sealed(), "{\"t_s\":0.4,\"event\":\"sweep-started\"}\n");
        let without = unsealed(&whole[GOOD.len()..]).unwrap();
        assert!(without.contains("over 2 records, and 1 are before it"), "{without}");
        let changed = unsealed(&whole.replacen(GOOD, changed, 1)).unwrap();
        assert!(changed.contains("hash"), "{changed}");
        let behind = unsealed(&format!("{whole}{GOOD}")).unwrap();
        assert!(behind.contains("lines after its seal"), "{behind}");
    }

    #[test]
    fn an_empty_history_is_empty() {
        let (records, truncated) = read_text("");
        assert_eq!((records.len(), truncated), (0, false));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nonexistent/events.jsonl")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nonexistent/events.jsonl: "));
    }
}
