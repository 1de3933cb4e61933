//! What was observed of a run: events, their recording and reading back.

mod event;

pub use event::{EndReason, Event, HeldChunk, Record, SeenAggregate, SeenResult};
