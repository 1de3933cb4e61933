//! Faults that can be written and could not bite: they are refused before anything runs, so that no
//! run has to find out that it has tested nothing.

use std::time::Duration;

use ttg_contract::builtin::is_slow;

use super::deadline;
use super::error::Problem;
use super::fault::Ground;
use super::fields::{Field, Fields};
use super::nominal::duration;
use super::units::show;
use crate::fault::{Entry, Lasts};
use crate::plan::{FaultKind, PlannedFault, Settings, Skew, Sweep, Trigger, percent_of};
use crate::words::counted;

/// What lasts for less is over before anybody is held up by it.
const SHORTEST: Duration = Duration::from_millis(10);

/// That at this share of the parameters, in percent, something is left: they come by the chunk.
pub(super) fn before_all_is_committed(
    field: &Field<'_>,
    percent: f64,
    sweep: &Sweep,
) -> Result<(), Problem> {
    let (params, chunks) = (sweep.params(), sweep.chunks());
    let (start, end) = sweep.chunk(chunks.saturating_sub(1));
    // The last chunk may be smaller than the others.
    let most = params - (end - start);
    if percent_of(params, percent) <= most {
        return Ok(());
    }
    let all = counted(chunks, "chunk");
    Err(field.refuse(if chunks <= 1 {
        format!("is {percent}%, but of {all} nothing is committed before everything is (write a time, as in at: 100ms, or make smaller chunks)")
    } else {
        let highest = (u128::from(most) * 1000 / u128::from(params)) as f64 / 10.0;
        format!("is {percent}%, but of {all} so much is committed only when all is (write {highest}% at most)")
    }))
}

/// That when this share of the chunks is submitted, in percent, something is left to submit.
pub(super) fn before_all_is_submitted(
    field: &Field<'_>,
    percent: f64,
    sweep: &Sweep,
) -> Result<(), Problem> {
    let chunks = sweep.chunks();
    if percent_of(chunks, percent) < chunks {
        return Ok(());
    }
    let all = counted(chunks, "chunk");
    Err(field.refuse(format!(
        "is {percent}% submitted, but of {all} nothing is left to submit then (write less, or make \
         smaller chunks)"
    )))
}

/// How long a fault lasts, if that is long enough for anybody to be held up.
pub(super) fn hold(field: &Field<'_>, entry: &Entry) -> Result<Duration, Problem> {
    let hold = field.duration("for: 3s")?;
    if entry.lasts == Lasts::Must && hold < SHORTEST {
        return Err(field.refuse(format!(
            "is {}, which is over before it holds anybody up (write at least {})",
            show(hold),
            show(SHORTEST)
        )));
    }
    Ok(hold)
}

/// That what a fault is told can have an effect on this sweep.
pub(super) fn settings(
    details: &Fields<'_>,
    kind: FaultKind,
    hold: Option<Duration>,
    settings: &Settings,
    ground: Ground<'_>,
) -> Result<(), Problem> {
    match (kind, settings.pace.zip(hold)) {
        (FaultKind::Chaos, Some((pace, hold))) if pace >= hold => {
            let field = details.need("pace", "pace: 500ms")?;
            Err(field.refuse(format!(
                "is {}, but the chaos lasts for {} (strike more often, or let it last longer)",
                show(pace),
                show(hold)
            )))
        }
        (FaultKind::SlowChunks, _) => {
            slow_chunks(&details.need("share", "share: 10%")?, settings, ground)
        }
        _ => Ok(()),
    }
}

/// That some of the chunks take longer, and some do not.
fn slow_chunks(field: &Field<'_>, settings: &Settings, ground: Ground<'_>) -> Result<(), Problem> {
    match ground.sweep.kernel.work_ms() {
        None => {
            return Err(field.refuse(
                "is said of chunks whose time only their own program knows (let that take longer, \
                 or use a built-in kernel)",
            ));
        }
        Some(work_ms) if work_ms <= 0.0 => {
            return Err(field.refuse(
                "is said of chunks that take no time, so none takes longer (give the kernel some \
                 work_ms)",
            ));
        }
        Some(_) => {}
    }
    let (share, chunks) = (settings.share.unwrap_or_default(), ground.sweep.chunks());
    let drawn = (0..chunks).filter(|index| is_slow(ground.seed, share, *index)).count() as u64;
    if drawn > 0 && drawn < chunks {
        return Ok(());
    }
    let (percent, seed) = (show_percent(share), ground.seed);
    let drawn = if drawn == 0 { "none" } else { "every one" };
    let all = counted(chunks, "chunk");
    Err(field.refuse(format!(
        "is {percent}, but of {all} the seed {seed} draws {drawn} (write another share, or another \
         seed)"
    )))
}

fn show_percent(share: f64) -> String {
    format!("{}%", (share * 1e6).round() / 1e4)
}

/// That a fault strikes, and strikes again, while such a sweep goes on.
pub(super) fn in_time(
    fault: &PlannedFault,
    when: &Field<'_>,
    every: Option<&Field<'_>>,
    faults: &[PlannedFault],
    ground: Ground<'_>,
) -> Result<(), Problem> {
    let Some(longest) = deadline::longest_s(fault, faults, ground).map(duration) else {
        return Ok(());
    };
    let over = |field: &Field<'_>, time: Duration| {
        field.refuse(format!(
            "is {}, but such a sweep is over within {} even on a slow machine (strike sooner, or give \
             it more work)",
            show(time),
            show(longest)
        ))
    };
    if let Trigger::Time(time) = fault.trigger
        && time > longest
    {
        return Err(over(when, time));
    }
    match fault.every.zip(every) {
        Some((time, field)) if time > longest => Err(over(field, time)),
        _ => Ok(()),
    }
}

/// How many times as long the longest chunks take.
pub(super) fn most_times(faults: &[PlannedFault]) -> f64 {
    let slow = faults.iter().filter(|fault| fault.kind == FaultKind::SlowChunks);
    slow.map(|fault| fault.settings.factor.unwrap_or(Skew::FACTOR)).fold(1.0, f64::max)
}
