//! Whose file it is, before anything is done to it: somebody else's database is not touched, and what is
//! made here is its user's alone.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::database::{Identity, identity};

/// What the tables are made by.
pub(super) const SCHEMA: &str = include_str!("schema.sql");

/// Of a file of ours, in SQLite's header.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"ttgq");

/// Readable and writable for its user alone.
pub(super) const PRIVATE: u32 = 0o600;

/// How every SQLite file begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Where the application's number is in the header.
const APPLICATION_AT: usize = 68;

/// Length of the header.
const HEADER: usize = 100;

/// The table that every file of ours has, and one of its columns.
const SWEEP: (&str, &str) = ("sweep", "chunk_size");

/// Files that this process has looked at.
static LOOKED: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

/// Looks whose file it is, and makes it where there is none. Once for each file: whoever closes a file
/// gives up all locks that his process has on it, also those of a connection that is open.
///
/// # Errors
/// Why it is none of ours, or cannot be made.
pub(super) fn prepare(path: &Path) -> Result<(), String> {
    let mut looked = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    if identity(path).is_some_and(|file| looked.contains(&file)) {
        return Ok(());
    }
    look(path)?;
    make_private(path).map_err(|error| format!("cannot make it: {error}"))?;
    looked.extend(identity(path));
    Ok(())
}

/// Makes the file with nobody else's rights on it, if there is none. SQLite gives those of the file to
/// what it keeps beside it.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Looks into a file without leaving a trace in it or beside it.
///
/// # Errors
/// Why it is none of ours.
fn look(path: &Path) -> Result<(), String> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut header));
    // One that cannot be read says so when it is opened; one that is empty is nobody's.
    if read.is_err() || header.is_empty() {
        return Ok(());
    }
    if !header.starts_with(MAGIC) {
        return Err(others("is no SQLite file"));
    }
    let number = header.get(APPLICATION_AT..APPLICATION_AT + 4).and_then(|it| it.try_into().ok());
    check_application(number.map_or(0, i32::from_be_bytes))?;
    // As it is on the disk: another way of reading it would recover it, or make files beside it.
    let Ok(connection) = open_immutable(path) else { return Ok(()) };
    match tables(&connection) {
        // What is not there may be about to come: it is looked at once more when it is open.
        Ok(tables) => check_names(&tables),
        Err(_) => Ok(()),
    }
}

/// Looks into a file that is open, and perhaps has tables in its WAL only. Whether it has none yet.
///
/// # Errors
/// Why it is none of ours.
pub(super) fn look_again(connection: &Connection) -> rusqlite::Result<Result<bool, String>> {
    let number = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if let Err(why) = check_application(number) {
        return Ok(Err(why));
    }
    // At one moment: somebody may be making them.
    let moment = connection.unchecked_transaction()?;
    let checked = tables(&moment).and_then(|tables| check_tables(&moment, &tables))?;
    moment.commit()?;
    Ok(checked)
}

fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn check_application(number: i32) -> Result<(), String> {
    match number {
        0 | APPLICATION_ID => Ok(()),
        other => Err(others(&format!("is of another application (its number is {other})"))),
    }
}

fn check_names(tables: &[String]) -> Result<(), String> {
    match tables.iter().find(|table| !is_ours(table)) {
        None => Ok(()),
        Some(strange) => {
            Err(others(&format!("has a table {strange:?}, which is none of a sweep's")))
        }
    }
}

/// Whether there are none yet.
fn check_tables(
    connection: &Connection,
    tables: &[String],
) -> rusqlite::Result<Result<bool, String>> {
    if tables.is_empty() {
        return Ok(Ok(true));
    }
    if let Err(why) = check_names(tables) {
        return Ok(Err(why));
    }
    let (table, column) = SWEEP;
    let has_sweep = connection.column_exists(None, table, column)?;
    Ok(if has_sweep {
        Ok(false)
    } else {
        Err(others("has tables of other columns than a sweep's"))
    })
}

fn is_ours(table: &str) -> bool {
    let made = SCHEMA.split("CREATE TABLE IF NOT EXISTS ").skip(1);
    made.filter_map(|rest| rest.split([' ', '(']).next()).any(|name| name == table)
}

fn others(what: &str) -> String {
    format!("it {what}, so it is somebody else's and stays as it is (choose another path)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_schema_are_ours() {
        for ours in ["sweep", "tasks", "releases", "results", "dead_letters", "dropped", "kernels"]
        {
            assert!(is_ours(ours), "{ours}");
        }
        assert!(!is_ours("users") && !is_ours(""));
    }
}
