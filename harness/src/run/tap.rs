//! What the harness sees of a sweep: results and dead letters at the broker, without taking
//! anything from it; in static mode, what workers print.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::sleep;
use ttg_contract::chunk::ChunkId;
use ttg_contract::stats::Stats;
use ttg_contract::wire::{DeadLetter, TaskResult};
use ttg_system::queue::{Broker, Cursor, QueueError};

use super::Stage;
use super::observed::Observed;
use crate::environment::Stdout;
use crate::history::{Event, SeenResult};
use crate::plan::{Backend, Environment, Plan};
use crate::words::{bounded, has_name};

/// Messages per read.
const PAGE: usize = 1000;

/// How long to wait for results before looking at other things.
const WAIT: Duration = Duration::from_millis(100);

/// How often to look whether the first task is there.
const LOOK: Duration = Duration::from_millis(2);

/// After an error: the broker may be away for a while.
const PAUSE: Duration = Duration::from_millis(50);

/// Longest line that a worker may print, in bytes.
const LINE_BOUND: u64 = 1 << 20;

/// How far the tap has read, and what it has seen.
pub(super) struct Tap {
    results: Cursor,
    letters: Cursor,
    pub(super) observed: Observed,
}

impl Tap {
    /// Nothing is read yet of a sweep of so many chunks.
    pub(super) fn of(chunks: u64) -> Self {
        let (results, letters) = (Cursor::default(), Cursor::default());
        Self { results, letters, observed: Observed::of(chunks) }
    }

    /// Follows results and dead letters until it is dropped.
    pub(super) async fn follow(&mut self, stage: &Stage, broker: &dyn Broker) {
        wait_for_first_task(stage, broker).await;
        loop {
            if self.read(stage, broker, WAIT).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }

    /// Reads everything that is there.
    pub(super) async fn drain(
        &mut self,
        stage: &Stage,
        broker: &dyn Broker,
    ) -> Result<(), QueueError> {
        // The whole sweep may have gone by before anybody looked for its first task.
        look_for_first_task(stage, broker).await?;
        while self.read(stage, broker, Duration::ZERO).await? > 0 {}
        Ok(())
    }

    /// Tells dead letters from the first one on again.
    pub(super) fn forget_letters(&mut self, stage: &Stage) {
        self.letters = Cursor::default();
        self.observed.forget_letters();
        stage.settled.borrow_mut().forget_letters();
        stage.headway.comes_on();
    }

    async fn read(
        &mut self,
        stage: &Stage,
        broker: &dyn Broker,
        wait: Duration,
    ) -> Result<usize, QueueError> {
        // This may be dropped at any await: what was read is told before the next one.
        let results = broker.results(&mut self.results, PAGE, wait).await?;
        let mut seen = results.len();
        for message in results {
            match message.what {
                Ok(result) => {
                    let (index, params) = (result.chunk_index, result.stats.count);
                    let worker = result.worker_id.clone();
                    let at_ms = when(&stage.plan, message.at_ms, &result);
                    self.observed.result(at_ms, &result);
                    stage.headway.took(result.duration_seconds);
                    stage.emit_at_ms(at_ms, Event::Result(at_broker(result)));
                    stage.note_result(Some(index), &worker, params);
                }
                Err(reason) => {
                    self.observed.unreadable += 1;
                    let reason = bounded(reason);
                    stage.emit_at_ms(message.at_ms, Event::UnreadableResult { reason });
                }
            }
        }
        let letters = broker.dead_letters(&mut self.letters, PAGE).await?;
        seen += letters.len();
        for letter in letters {
            if let Some(task) = letter.task() {
                stage.note_letter(task.chunk.index);
            }
            self.observed.dead_letter(&letter);
            stage.emit(dead_lettered(letter));
        }
        self.observed.look_at_holders(stage, broker).await?;
        let complete = stage.is_complete(broker).await?;
        if complete != stage.standing().complete || seen == 0 {
            stage.change(|standing| {
                standing.complete = complete;
                standing.readings += u64::from(seen == 0);
            });
        }
        Ok(seen)
    }
}

/// When a result came. RabbitMQ does not say, and whoever reads it may be far behind: then a worker of ours
/// on this machine is believed, that of others is not.
fn when(plan: &Plan, seen_ms: i64, result: &TaskResult) -> i64 {
    let is_ours = plan.backend == Backend::RabbitMq
        && plan.foreign.is_none()
        && matches!(plan.environment, Environment::Process | Environment::Container);
    let said = result.completed_at.parse().ok().filter(|_| is_ours);
    said.map_or(seen_ms, |said: jiff::Timestamp| said.as_millisecond().min(seen_ms))
}

async fn wait_for_first_task(stage: &Stage, broker: &dyn Broker) {
    loop {
        // A broker that does not answer is asked again.
        let _ = look_for_first_task(stage, broker).await;
        if stage.standing().begun {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Tells of the first task, once it is there.
async fn look_for_first_task(stage: &Stage, broker: &dyn Broker) -> Result<(), QueueError> {
    if stage.standing().begun {
        return Ok(());
    }
    let first = broker.tasks(&mut Cursor::default(), 1).await?;
    if let Some(first) = first.first() {
        stage.first_task_seen(first.at_ms);
        stage.headway.begins();
        stage.change(|standing| standing.begun = true);
    }
    Ok(())
}

fn at_broker(result: TaskResult) -> SeenResult {
    let Stats { sum, count, min, max, avg } = result.stats;
    SeenResult {
        chunk_id: ChunkId(result.chunk_index).to_string(),
        range: None,
        worker: bounded(result.worker_id),
        duration_s: result.duration_seconds,
        sum,
        count,
        min,
        max,
        avg,
    }
}

fn dead_lettered(letter: DeadLetter) -> Event {
    let chunk = letter.task().map(|task| task.chunk);
    Event::DeadLettered {
        chunk_id: chunk.map(|chunk| chunk.id().to_string()),
        range: chunk.map(|chunk| (chunk.start, chunk.end)),
        reason: bounded(letter.last_error),
        attempts: letter.retry_count,
    }
}

/// A line of a static worker.
#[derive(Deserialize)]
struct Printed {
    chunk_id: String,
    worker_id: String,
    start_param: u64,
    end_param: u64,
    status: String,
    #[serde(default)]
    duration_seconds: f64,
    result_data: Stats,
}

/// What a line must have to be a result, whatever else is wrong with it.
#[derive(Deserialize)]
struct MeantAsResult {
    #[serde(rename = "result_data")]
    _data: serde::de::IgnoredAny,
}

/// The result in a line, if it is meant as one; why it is none where it cannot be read or says so.
fn printed_result(line: &[u8]) -> Option<Result<Printed, String>> {
    let is_meant = serde_json::from_slice::<MeantAsResult>(line).is_ok();
    // JSON has no NaN, and some programs write it all the same.
    let is_none = || serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err();
    if !(is_meant || has_name(line, "result_data") && is_none()) {
        return None;
    }
    Some(match serde_json::from_slice::<Printed>(line) {
        Ok(printed) if printed.status == "completed" => Ok(printed),
        Ok(printed) => {
            Err(format!("status is {:?}, and a result is \"completed\"", printed.status))
        }
        Err(error) => Err(error.to_string()),
    })
}

/// Follows what a static worker prints. Lines that are no results, such as its summary, are not
/// for us.
pub(super) async fn printed_results(stage: Rc<Stage>, stdout: Stdout) {
    if !stage.standing().begun {
        stage.emit(Event::SweepStarted);
        stage.headway.begins();
        stage.change(|standing| standing.begun = true);
    }
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut too_long = false;
    while let Ok(1..) = (&mut reader).take(LINE_BOUND).read_until(b'\n', &mut line).await {
        let is_whole = line.ends_with(b"\n");
        if line.len() as u64 == LINE_BOUND && !is_whole {
            if !std::mem::replace(&mut too_long, true) {
                let reason = format!("a line of more than {LINE_BOUND} bytes");
                stage.emit(Event::UnreadableResult { reason });
            }
            line.clear();
            continue;
        }
        if std::mem::take(&mut too_long) {
            // The end of such a line.
            line.clear();
            continue;
        }
        // Half a line is the last word of a worker that was killed: no result.
        let printed = Some(&line).filter(|_| is_whole);
        let printed = printed.and_then(|line| printed_result(line)).transpose();
        if let Err(reason) = &printed {
            stage.emit(Event::UnreadableResult { reason: bounded(reason.clone()) });
        }
        if let Ok(Some(printed)) = printed {
            let Stats { sum, count, min, max, avg } = printed.result_data;
            let worker = bounded(printed.worker_id);
            stage.note_result(None, &worker, count);
            stage.headway.took(printed.duration_seconds);
            stage.emit(Event::Result(SeenResult {
                chunk_id: bounded(printed.chunk_id),
                range: Some((printed.start_param, printed.end_param)),
                worker,
                duration_s: printed.duration_seconds,
                sum,
                count,
                min,
                max,
                avg,
            }));
        }
        line.clear();
    }
    stage.change(|standing| standing.outputs_read += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_meant_as_a_result_and_is_none_says_why() {
        let result = |status: &str, sum: &str| {
            format!(
                r#"{{"chunk_id":"0-0","worker_id":"worker-0","start_param":0,"end_param":1,"status":"{status}","result_data":{{"sum":{sum},"count":1,"min":1,"max":1,"avg":1}}}}"#
            )
        };
        let read = |line: &str| printed_result(line.as_bytes()).map(|it| it.map(|_| ()));
        assert_eq!(read(&result("completed", "1")), Some(Ok(())));
        assert!(matches!(read(&result("failed", "1")), Some(Err(_))));
        assert!(matches!(read(&result("completed", "NaN")), Some(Err(_))), "that is no JSON");
        assert_eq!(read(r#"{"worker_id":"worker-0","chunks_processed":7}"#), None, "a summary");
        assert_eq!(read("result_data follows"), None);
    }
}
