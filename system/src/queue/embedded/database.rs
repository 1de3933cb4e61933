//! The file: opened once, and watched. A file that was deleted or replaced can still be written to,
//! and nobody else would ever read it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{clock, owner};
use crate::queue::{Address, QueueError};

/// Older ones can lose commits when two connections checkpoint at once
/// (sqlite.org/wal.html#walresetbug).
const SQLITE_MIN: i32 = 3_051_003;

/// How long one attempt of anything waits for others, on a thread that nothing else can use meanwhile.
const BUSY: Duration = Duration::from_millis(250);

/// Pages after which the log is moved into the file: 1 MiB, a quarter of what SQLite lets it be. Once it has
/// taken all of a small disk, there is no room left in the file for what stands in it.
const LOG_PAGES: u32 = 256;

/// Others hold the file.
const HELD: [ErrorCode; 2] = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];

/// The disk takes nothing: on a full one, some steps of SQLite fail as an error of its input and output.
const NO_ROOM: [ErrorCode; 2] = [ErrorCode::DiskFull, ErrorCode::SystemIoFailure];

/// Where it is deleted meanwhile, nobody makes another by the way.
const EXISTING: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// An open file, and which one it is.
pub(super) struct Database {
    pub(super) connection: Connection,
    /// Device and number of the file, and of its log: what is committed stands there first.
    file: Option<Identity>,
    log: Option<Identity>,
}

/// Device and number of a file.
pub(super) type Identity = (u64, u64);

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// There is no file, and whoever asks makes none.
    #[error("it is not there")]
    Absent,
    #[error("{0}")]
    Failed(rusqlite::Error),
    #[error("cannot open it as a queue: {0}")]
    Unopened(rusqlite::Error),
    #[error("SQLite {0} can lose commits, 3.51.3 or newer is needed (build with the bundled one)")]
    TooOld(&'static str),
    #[error("{0}")]
    NotOurs(String),
}

impl Trouble {
    /// Whether it may be over after a while.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Failed(error) | Self::Unopened(error) => is_passing(error),
            Self::Absent => true,
            Self::TooOld(_) | Self::NotOurs(_) => false,
        }
    }

    /// Whether it is only others who hold the file.
    pub(super) fn is_others(&self) -> bool {
        match self {
            Self::Failed(error) | Self::Unopened(error) => is_one_of(error, &HELD),
            Self::Absent | Self::TooOld(_) | Self::NotOurs(_) => false,
        }
    }

    /// Whether the disk takes nothing.
    pub(super) fn is_for_lack_of_room(&self) -> bool {
        matches!(self, Self::Failed(error) if is_one_of(error, &NO_ROOM))
    }

    /// What it means to whoever asked the broker of this address.
    pub(super) fn at(&self, address: &Address) -> QueueError {
        let (address, cause) = (address.clone(), self.to_string());
        if matches!(self, Self::Absent) {
            QueueError::NotThere { address }
        } else if self.is_passing() {
            QueueError::Unreachable { address, cause }
        } else {
            QueueError::Refused { address, cause }
        }
    }
}

/// Whether others hold the file, or the disk takes nothing.
fn is_passing(error: &rusqlite::Error) -> bool {
    is_one_of(error, &HELD) || is_one_of(error, &NO_ROOM)
}

fn is_one_of(error: &rusqlite::Error, codes: &[ErrorCode]) -> bool {
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

impl Database {
    /// Opens the file; `creates` makes it where there is none.
    pub(super) fn open(path: &Path, patience: Duration, creates: bool) -> Result<Self, Trouble> {
        if !creates && !path.exists() {
            return Err(Trouble::Absent);
        }
        let connection = open_file(path, patience)?;
        Ok(Self { connection, file: identity(path), log: identity(&log_of(path)) })
    }

    /// Whether the file of this path is the one that is open, and its log too: SQLite removes that
    /// with the last connection only.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.file.is_some() && self.file == identity(path) && self.log == identity(&log_of(path))
    }
}

impl Database {
    /// Moves what stands in the log into the file, where most of it takes no room of its own: on a small
    /// disk the log alone may fill it, long before SQLite empties it by itself.
    pub(super) fn empty_log(&self) {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let done = self.connection.query_row(checkpoint, [], |row| row.get::<_, i64>(0));
        tracing::debug!(?done, "the log of the file is emptied");
    }
}

fn log_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

pub(super) fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn open_file(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(Trouble::TooOld(rusqlite::version()));
    }
    owner::prepare(path).map_err(Trouble::NotOurs)?;
    let deadline = std::time::Instant::now() + patience;
    loop {
        match make(path) {
            Ok(Err(why)) => return Err(Trouble::NotOurs(why)),
            Ok(Ok(connection)) => return Ok(connection),
            // Among those who make the file at the same time SQLite may refuse one at once, however
            // long it was told to wait: who lets go and begins anew gets it.
            Err(error) if is_passing(&error) && std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(fastrand::u64(1..20)));
            }
            Err(error) => return Err(Trouble::Unopened(error)),
        }
    }
}

/// The file with its tables in it, or why it is none of ours.
fn make(path: &Path) -> rusqlite::Result<Result<Connection, String>> {
    let mut connection = Connection::open_with_flags(path, EXISTING)?;
    connection.busy_timeout(BUSY)?;
    let is_new = match owner::look_again(&connection)? {
        Ok(is_new) => is_new,
        Err(why) => return Ok(Err(why)),
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    if is_new {
        // All at once: half of them would look like somebody else's.
        let whole = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        whole.execute_batch(owner::SCHEMA)?;
        whole.pragma_update(None, "application_id", owner::APPLICATION_ID)?;
        whole.commit()?;
    } else {
        connection.execute_batch(owner::SCHEMA)?;
    }
    clock::begin(&mut connection)?;
    Ok(Ok(connection))
}
