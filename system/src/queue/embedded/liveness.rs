//! Who is alive: a worker holds a lock on a file of its own, and the operating system gives it
//! back when the worker ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::owner::PRIVATE;

/// A worker's sign of life: it lasts until this is dropped, or the process ends.
pub(super) struct Sign {
    nonce: String,
    path: PathBuf,
    _locked: File,
}

impl Sign {
    /// Gives the sign for a new life of `worker`.
    pub(super) fn give(database: &Path, worker: &str) -> io::Result<Self> {
        let nonce = format!("{:016x}", fastrand::Rng::new().u64(..));
        let path = lock_path(database, worker, &nonce);
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path)?;
        file.lock()?;
        Ok(Self { nonce, path, _locked: file })
    }

    /// Names this life.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // A file that stays is only untidy: its lock is gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether that life goes on. The file of one that ended is removed. In doubt it goes on: its
/// leases will tell.
pub(super) fn is_alive(database: &Path, worker: &str, nonce: &str) -> bool {
    let path = lock_path(database, worker, nonce);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match file.try_lock_shared() {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            false
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

/// How many signs there are, of the living and of those whose death nobody has noticed yet.
pub(super) fn signs(database: &Path) -> io::Result<usize> {
    Ok(sign_paths(database)?.len())
}

/// Whether somebody lives besides the life of this nonce.
pub(super) fn has_others(database: &Path, nonce: &str) -> io::Result<bool> {
    let own = format!(".{nonce}.alive");
    let others = sign_paths(database)?.into_iter().filter(|path| !ends_with(path, &own));
    Ok(others.into_iter().any(|path| is_locked(&path)))
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.to_string_lossy().ends_with(end)
}

fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock_shared().is_err())
}

fn sign_paths(database: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = database.parent().filter(|parent| !parent.as_os_str().is_empty());
    let prefix = format!("{}.", database.file_name().unwrap_or_default().display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory.unwrap_or(Path::new(".")))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(".alive") {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn lock_path(database: &Path, worker: &str, nonce: &str) -> PathBuf {
    // A worker's name may hold any character; a file's may not.
    let worker: String =
        worker.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mut name = database.as_os_str().to_owned();
    name.push(format!(".{worker}.{nonce}.alive"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_ends_with_its_sign_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let database = directory.path().join("queue.db");
        let sign = Sign::give(&database, "worker-1").expect("a sign");
        let nonce = sign.nonce().to_owned();
        assert!(is_alive(&database, "worker-1", &nonce));
        assert_eq!(signs(&database).expect("readable"), 1);
        assert!(!has_others(&database, &nonce).expect("readable"));
        assert!(has_others(&database, "another").expect("readable"));
        assert!(!is_alive(&database, "worker-1", "another"));
        drop(sign);
        assert!(!is_alive(&database, "worker-1", &nonce));
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 0);
    }
}
