//! What faults are told besides whom and how long: one reader for each word, whichever fault
//! takes it.

use super::error::Problem;
use super::fields::Field;
use super::node::Value;
use super::units;
use super::words::quoted;
use crate::fault::Entry;
use crate::plan::{Direction, FaultKind, KillBy, Settings, Sweep};

const DIRECTIONS: &[(&str, Direction)] = &[
    ("to-broker", Direction::ToBroker),
    ("from-broker", Direction::FromBroker),
    ("both", Direction::Both),
];

const KILLS: &[(&str, KillBy)] = &[("signal", KillBy::Signal), ("delete", KillBy::Delete)];

/// Bytes of a second: no process here sends more, so that a higher rate holds nothing up.
const MAX_RATE: u64 = 100_000_000;

/// Bytes of a piece: a proxy reads no more at once, so that longer ones cut nothing.
const MAX_PIECE: u64 = 64 << 10;

/// How many times as long a chunk may take at most.
const MAX_FACTOR: f64 = 1000.0;

/// A poisoned chunk is computed for at least so long, in seconds: whoever has it is seen with it.
const SEEN_S: f64 = 0.02;

/// How a setting is written, where it is missing.
pub(super) fn example(entry: &Entry, word: &str) -> String {
    let value = match word {
        "bytes" => "1000",
        "share" => "10%",
        "chunk" => "17",
        "delay" => "50ms",
        "by" => "delete",
        "mix" => "[{ weight: 3, restart: { worker: random } }]",
        _ => "3s",
    };
    format!("{}: {{ {word}: {value} }}", entry.name)
}

/// Reads one setting.
pub(super) fn read(
    settings: &mut Settings,
    field: &Field<'_>,
    entry: &Entry,
    sweep: &Sweep,
) -> Result<(), Problem> {
    match field.name {
        "direction" => settings.direction = field.choice(DIRECTIONS)?,
        "delay" => settings.delay = Some(field.duration("delay: 50ms")?),
        "jitter" => settings.jitter = Some(field.duration("jitter: 10ms")?),
        "pace" => settings.pace = Some(field.duration("pace: 500ms")?),
        "bytes" => settings.bytes = Some(bytes(field, entry)?),
        "share" => settings.share = Some(share(field)?),
        "factor" => settings.factor = Some(factor(field)?),
        "by" => settings.by = field.choice(KILLS)?,
        "chunk" => settings.chunk = Some(chunk(field, sweep)?),
        other => unreachable!("{} takes {other}, which nothing here reads", entry.name),
    }
    Ok(())
}

fn bytes(field: &Field<'_>, entry: &Entry) -> Result<u64, Problem> {
    let most = if entry.kind == FaultKind::Slice { MAX_PIECE } else { MAX_RATE };
    field.count(most, "bytes: 1000")
}

fn share(field: &Field<'_>) -> Result<f64, Problem> {
    let example = "share: 10%";
    let Value::Text(text) = &field.node.value else {
        let is = &field.node.value;
        return Err(
            field.refuse(format!("is {is}, but must be a share (write for example {example})"))
        );
    };
    match units::percentage(text) {
        Some(percent) if percent > 0.0 && percent < 100.0 => Ok(percent / 100.0),
        _ => Err(field.refuse(format!(
            "is {}, but must be above 0% and below 100% (write for example {example})",
            quoted(text.trim())
        ))),
    }
}

fn factor(field: &Field<'_>) -> Result<f64, Problem> {
    let factor = field.amount("factor: 10")?;
    if factor <= 1.0 {
        return Err(field.refuse(format!(
            "is {factor}, but only above 1 a chunk takes longer (write for example factor: 10)"
        )));
    }
    if factor > MAX_FACTOR {
        return Err(field.refuse(format!("is {factor}, but at most {MAX_FACTOR} are possible")));
    }
    Ok(factor)
}

fn chunk(field: &Field<'_>, sweep: &Sweep) -> Result<u64, Problem> {
    let index = field.whole("chunk: 17")?;
    let chunks = sweep.chunks();
    if index >= chunks {
        let last = chunks - 1;
        return Err(field.refuse(format!("is {index}, but the chunks are numbered 0 to {last}")));
    }
    if sweep.kernel.work_ms().is_some() && sweep.chunk_time().as_secs_f64() < SEEN_S {
        return Err(field.refuse(format!(
            "names a chunk that is computed in {:?}, before anybody sees who has it (give it at \
             least 20ms of work)",
            sweep.chunk_time()
        )));
    }
    Ok(index)
}
