//! Exit codes of `harness`.

use crate::run::RunError;
use crate::verdict::Verdict;

/// What the harness says by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every scenario passed.
    Pass = 0,
    /// A scenario failed.
    Fail = 1,
    /// A scenario has no verdict, and none failed.
    Inconclusive = 2,
    /// The scenario or the arguments are wrong; nothing was started.
    Usage = 64,
    /// The environment cannot be had: a broker's program is missing, say.
    Unavailable = 69,
    /// A defect of ours.
    Internal = 70,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Inconclusive | Verdict::NotJudged => Self::Inconclusive,
        }
    }
}

impl From<&RunError> for Exit {
    fn from(error: &RunError) -> Self {
        match error {
            RunError::Unavailable(_) => Self::Unavailable,
            RunError::Directory { cause, .. } if is_the_machines(cause) => Self::Unavailable,
            RunError::Directory { .. } => Self::Usage,
            RunError::Interrupted => Self::Inconclusive,
            RunError::Internal(_) => Self::Internal,
        }
    }
}

/// Whether a directory that cannot be written is no matter of which was asked for.
fn is_the_machines(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let kinds = [FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    kinds.contains(&cause.kind())
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
