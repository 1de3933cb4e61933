//! The file: opened once, and watched. A file that was deleted or replaced can still be written to,
//! and nobody else would ever read it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::is_busy;

/// Older ones can lose commits when two connections checkpoint at once
/// (sqlite.org/wal.html#walresetbug).
const SQLITE_MIN: i32 = 3_051_003;

/// How long one attempt to open the file waits for others.
const OPEN: Duration = Duration::from_millis(250);

/// An open file, and which one it is.
pub(super) struct Database {
    pub(super) connection: Connection,
    /// Device and number of the file, and of its log: what is committed stands there first.
    file: Option<Identity>,
    log: Option<Identity>,
}

/// Device and number of a file.
type Identity = (u64, u64);

/// Why a step was not done.
pub(super) enum Trouble {
    Failed(rusqlite::Error),
    Unopened(String),
}

impl Database {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, patience: Duration) -> Result<Self, String> {
        let connection = open_file(path, patience)?;
        Ok(Self { connection, file: identity(path), log: identity(&log_of(path)) })
    }

    /// Whether the file of this path is the one that is open, and its log too: SQLite removes that
    /// with the last connection only.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && self.file == identity(path) && self.log == identity(&log_of(path))
    }
}

fn log_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn open_file(path: &Path, patience: Duration) -> Result<Connection, String> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(format!(
            "SQLite {} can lose commits, 3.51.3 or newer is needed (build with the bundled one)",
            rusqlite::version()
        ));
    }
    let deadline = std::time::Instant::now() + patience;
    loop {
        match make(path) {
            Ok(connection) => {
                let patient = connection.busy_timeout(patience);
                return patient.map(|()| connection).map_err(|error| unopened(&error));
            }
            // Among those who make the file at the same time SQLite may refuse one at once, however
            // long it was told to wait: who lets go and begins anew gets it.
            Err(error) if is_busy(&error) && std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(fastrand::u64(1..20)));
            }
            Err(error) => return Err(unopened(&error)),
        }
    }
}

fn make(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(OPEN)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(include_str!("schema.sql"))?;
    Ok(connection)
}

fn unopened(error: &rusqlite::Error) -> String {
    format!("cannot open it as a queue: {error}")
}
