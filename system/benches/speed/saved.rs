//! A run in a file, to be compared with.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::row::{Row, median};

/// More bytes than a run has.
const ROOM: usize = 64 << 10;

/// Figures can be compared only on one machine.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) host: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = text("/proc/cpuinfo");
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            host: text("/proc/sys/kernel/hostname").trim().to_owned(),
            processor: model.unwrap_or("unknown").trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores of {}", self.host, self.cores, self.processor)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) machine: Machine,
    pub(crate) samples: BTreeMap<String, Vec<f64>>,
    pub(crate) bare: BTreeMap<String, Vec<f64>>,
}

impl Saved {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let of = |row: &Row| Some((row.name.clone(), row.samples.clone().ok()?));
        let bare = |row: &Row| Some((row.name.clone(), row.bare.clone()?.ok()?));
        Self {
            machine: Machine::this(),
            samples: rows.iter().filter_map(of).collect(),
            bare: rows.iter().filter_map(bare).collect(),
        }
    }

    /// Reads a run of this machine.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let saved: Self = serde_json::from_str(&text).map_err(|error| {
            format!("{} is not a run that --save has written: {error}", path.display())
        })?;
        let this = Machine::this();
        if saved.machine != this {
            return Err(format!(
                "{} was measured on another machine ({}) than this one ({this}), and their figures \
                 cannot be compared; save a run of this machine",
                path.display(),
                saved.machine
            ));
        }
        Ok(saved)
    }

    /// What a row was then.
    pub(crate) fn figure(&self, row: &str) -> Option<f64> {
        median(self.samples.get(row)?)
    }
}

/// A file that a run will be saved to. It has its room before anything is measured, and is in its place
/// only when it is whole.
#[derive(Debug)]
pub(crate) struct Reserved {
    path: PathBuf,
    file: NamedTempFile,
}

impl Reserved {
    pub(crate) fn new(path: &Path) -> Result<Self, String> {
        let reserved = Self::reserve(path);
        reserved.map_err(|error| format!("cannot save to {}: {error}", path.display()))
    }

    fn reserve(path: &Path) -> io::Result<Self> {
        // A link stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() {
            if !path.is_file() {
                return Err(io::Error::other("it is not a regular file"));
            }
            File::options().write(true).open(&path)?;
        }
        let directory = path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."));
        if !directory.is_dir() {
            return Err(io::Error::other("there is no such directory"));
        }
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)?;
        file.as_file_mut().write_all(&[b' '; ROOM])?;
        file.as_file().sync_all()?;
        Ok(Self { path, file })
    }

    /// Puts a run in its place, which is returned.
    pub(crate) fn write(self, saved: &Saved) -> Result<PathBuf, String> {
        let Self { path, mut file } = self;
        let written = serde_json::to_vec_pretty(saved).map_err(io::Error::from).and_then(|text| {
            let content = file.as_file_mut();
            content.rewind()?;
            content.write_all(&text)?;
            content.write_all(b"\n")?;
            let length = content.stream_position()?;
            content.set_len(length)?;
            content.sync_all()?;
            file.persist(&path).map_err(|error| error.error).map(drop)
        });
        match written {
            Ok(()) => Ok(path),
            Err(error) => Err(format!("cannot save to {}: {error}", path.display())),
        }
    }
}
