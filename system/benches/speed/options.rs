//! What is asked for on the command line.

use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Measures how fast the system is, beside a bare loop of the same commands.

Usage: cargo bench -- [OPTIONS] [WORD]...

  WORD...         only what has all these words in its name: a backend (redis,
                  rabbitmq, embedded), what is measured (sweep, latency,
                  recovery, or a row of a sweep: submit, last, late, ...), a
                  number of chunks (1,000, 10,000, 300,000)
  --save FILE     writes the figures to a file when all are there
  --against FILE  shows the change from a saved run of this machine
  --help          shows this

All of it takes under five minutes: > 60 s was given up, and - is what there was
no time for, or what needs a step that was given up. A row that is not as wanted
is marked. A share is the median of the repetitions' shares, each of the bare
loop that ran right after it: the machine itself is faster at one time than at
another.

Exit codes: 0 everything is as wanted; 1 a row is not, or was not measured;
64 wrong arguments, a file of another machine or one that cannot be written;
74 the figures could not be saved; 130 interrupted.

Examples:
  cargo bench
  cargo bench -- redis recovery
  cargo bench -- --save before.json        # then change something, and
  cargo bench -- --against before.json";

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) words: Vec<String>,
    pub(crate) save: Option<PathBuf>,
    pub(crate) against: Option<PathBuf>,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut file = || {
                let file = value.clone().or_else(|| arguments.next());
                let file = file.filter(|it| !it.is_empty() && !it.starts_with('-'));
                file.map(PathBuf::from).ok_or(format!("{name} needs a file"))
            };
            match name {
                "--save" => options.save = Some(file()?),
                "--against" => options.against = Some(file()?),
                "--help" | "-h" => options.help = true,
                // Cargo's.
                "--bench" => {}
                other if other.starts_with('-') => {
                    return Err(format!("{other} is unknown (see cargo bench -- --help)"));
                }
                word => options.words.push(word.to_lowercase()),
            }
        }
        Ok(options)
    }

    /// Relative paths are from there.
    pub(crate) fn in_directory(mut self, directory: &Path) -> Self {
        for path in [&mut self.save, &mut self.against].into_iter().flatten() {
            *path = directory.join(&path);
        }
        self
    }

    /// Whether it is asked for.
    pub(crate) fn want(&self, name: &str) -> bool {
        self.words.iter().all(|word| name.split(' ').any(|it| it.starts_with(word.as_str())))
    }
}
