//! The tasks that were at the broker at the end, against the plan.

use crate::history::Event;
use crate::plan::Sweep;
use crate::words::{FirstLines, chunk_id, counted, quoted};

/// What the tasks at the broker come to, held against the plan.
#[derive(Debug, Clone, Default)]
pub struct Submitted {
    /// Whether they were read.
    pub is_known: bool,
    /// Chunks of the plan that have one.
    pub chunks: u64,
    /// Tasks that ask for something else than the plan.
    pub wrong: u64,
    /// Messages among them that cannot be read.
    pub unreadable: u64,
    /// Chunks that were submitted other than once.
    pub again: u64,
    named_again: u64,
    /// Deliveries of tasks that came by another way than the wire contract's.
    pub bypassed: u64,
    lines: [FirstLines; 3],
}

impl Submitted {
    /// Takes an event in that is about them.
    pub(super) fn observe(&mut self, sweep: &Sweep, index: Option<u64>, event: &Event) {
        let [wrong_lines, unreadable_lines, again_lines] = &mut self.lines;
        match event {
            Event::Submitted { chunks, wrong, unreadable, again, bypassed } => {
                self.is_known = true;
                (self.chunks, self.wrong, self.unreadable) = (*chunks, *wrong, *unreadable);
                (self.again, self.bypassed) = (self.again.max(*again), *bypassed);
            }
            Event::WrongTask { chunk_id, range, totals } => {
                wrong_lines.push(|| wrong_task(sweep, index, chunk_id, *range, *totals));
            }
            Event::UnreadableTask { reason } => unreadable_lines
                .push(|| format!("one of the tasks cannot be read: {}", quoted(reason))),
            Event::Resubmitted { chunk_id, times } => {
                self.named_again += 1;
                self.again = self.again.max(self.named_again);
                let id = quoted(chunk_id);
                again_lines.push(|| format!("chunk {id} was submitted {times} times"));
            }
            _ => {}
        }
    }

    /// The first lines on each kind of trouble.
    pub fn evidence(&self) -> Vec<String> {
        self.lines.iter().flat_map(FirstLines::lines).collect()
    }
}

fn wrong_task(
    sweep: &Sweep,
    index: Option<u64>,
    id: &str,
    (start, end): (u64, u64),
    (params, chunks): (u64, u64),
) -> String {
    let id = quoted(id);
    let Some(planned) = index.map(|index| sweep.chunk(index)) else {
        let last = chunk_id(sweep.chunks().saturating_sub(1));
        return format!(
            "the task of chunk {id} asks for {start}..{end}, and the sweep ends with chunk {last}"
        );
    };
    if planned != (start, end) {
        let (from, to) = planned;
        return format!(
            "the task of chunk {id} asks for {start}..{end}, and the plan has {from}..{to}"
        );
    }
    let said = counted(chunks, "chunk");
    format!(
        "the task of chunk {id} speaks of {params} parameters in {said}, and the plan has {} in {}",
        sweep.params(),
        sweep.chunks()
    )
}
