//! How a role fails, before it is known what that is to the shell.

use crate::queue::QueueError;

/// Why a role could not do its work.
pub(super) enum Failed {
    Usage(String),
    Queue(QueueError),
    /// It was given up at the signal of this number.
    Interrupted(u8),
    Other(String),
}

impl From<QueueError> for Failed {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}
