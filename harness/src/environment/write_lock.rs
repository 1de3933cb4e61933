//! Who holds the write lock of a SQLite file in WAL mode, as the kernel tells it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The byte of the `-shm` file that stands for the lock, by SQLite's file format.
const BYTE: u64 = 120;

/// Whether it is this process.
pub(super) fn is_held_by(database: &Path, pid: u32) -> bool {
    let mut shared = OsString::from(database);
    shared.push("-shm");
    let Ok(file) = fs::metadata(shared) else { return false };
    let Ok(locks) = fs::read_to_string("/proc/locks") else { return false };
    locks.lines().any(|line| is(line, pid, file.ino()))
}

/// Whether a line of `/proc/locks` says so: `7: POSIX ADVISORY WRITE 4711 08:01:123 120 120`. One
/// who waits for a lock has an arrow in the second place.
fn is(line: &str, pid: u32, inode: u64) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, "WRITE", holder, place, start, end] = words[..] else { return false };
    let number = |text: &str| if text == "EOF" { Some(u64::MAX) } else { text.parse().ok() };
    let covers = || Some((number(start)?..=number(end)?).contains(&BYTE));
    holder.parse() == Ok(pid)
        && place.rsplit(':').next().and_then(number) == Some(inode)
        && covers() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, fcntl_lock};

    #[test]
    fn the_kernel_tells_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("queue.db");
        let shared = fs::File::create(directory.path().join("queue.db-shm")).unwrap();
        let us = std::process::id();
        assert!(!is_held_by(&database, us));
        fcntl_lock(&shared, FlockOperation::LockExclusive).unwrap();
        assert!(is_held_by(&database, us));
        assert!(!is_held_by(&database, us + 1));
        assert!(!is_held_by(&directory.path().join("other.db"), us));
        fcntl_lock(&shared, FlockOperation::Unlock).unwrap();
        assert!(!is_held_by(&database, us));
    }

    #[test]
    fn other_locks_and_those_who_wait_are_told_apart() {
        let held = "7: POSIX  ADVISORY  WRITE 4711 08:01:123 120 120";
        assert!(is(held, 4711, 123));
        for other in [
            "7: POSIX  ADVISORY  READ 4711 08:01:123 120 120",
            "7: POSIX  ADVISORY  WRITE 4711 08:01:123 123 127",
            "7: -> POSIX  ADVISORY  WRITE 4711 08:01:123 120 120",
            "7: FLOCK  ADVISORY  WRITE 4711 08:01:123 0 EOF",
            "7: POSIX  ADVISORY  WRITE 4711 08:01:124 120 120",
            "",
        ] {
            assert!(!is(other, 4711, 123), "{other}");
        }
    }
}
