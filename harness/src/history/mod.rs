//! What was observed of a run: events, their recording and reading back.

mod event;
mod line;
mod reader;
mod recorder;
mod seal;

pub use event::{
    EndReason, Event, HeldChunk, PartialAggregate, Record, Reread, SeenAggregate, SeenResult,
};
pub use reader::{MAX_LINE, ReadError, Reader, read};
pub use recorder::{RecordError, Recorder};

/// Name of the history's file in a run directory.
pub const FILE_NAME: &str = "events.jsonl";
