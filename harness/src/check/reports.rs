//! What the aggregator has reported, and when, and how it ended: a part of its check. Each one that was
//! started may report once, what it says must have been so, and its exit code must say the same.

use crate::facts::{Exit, Facts, Report};
use crate::fault::BROKER;
use crate::words::{counted, seconds};

/// By how much the times of a report and of a result may be wrong, in seconds: they are of two clocks.
const CLOCKS_S: f64 = 1.0;

/// What is wrong with its reports besides their sums, one line each.
pub(super) fn faults(facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    for exit in facts.aggregator_exits() {
        faults.extend(wrong_exit(facts, exit));
    }
    let Some((last, earlier)) = facts.reports.split_last() else { return faults };
    for (one, next) in facts.reports.iter().zip(&facts.reports[1..]) {
        if one.life == next.life {
            let (one, next) = (seconds(one.t_s), seconds(next.t_s));
            faults.push(format!("one aggregator reported twice, at {one} and at {next}"));
        }
    }
    faults.extend(facts.reports.iter().filter_map(|report| too_early(facts, report)));
    faults.extend(earlier.iter().filter_map(|report| contradicts(report, last)));
    faults.extend(wrong_duplicates(facts, last));
    faults.extend(wrong_dead_letters(facts, last));
    faults
}

/// Whether the aggregator that ended so has said before that the sweep is incomplete.
pub(super) fn said_incomplete(facts: &Facts, exit: &Exit) -> bool {
    facts.reports_before(exit).last().is_some_and(|report| !report.says.complete)
}

/// An exit code that says something else than the report does.
fn wrong_exit(facts: &Facts, exit: &Exit) -> Option<String> {
    let code = exit.code?;
    let at = seconds(exit.t_s);
    let said = facts.reports_before(exit).last().map(|report| report.says.complete);
    match (said, code) {
        (None, 0) => Some(format!("it left at {at} with exit code 0 and had reported nothing")),
        (Some(false), 0) => {
            Some(format!("it left at {at} with exit code 0 after a report that says incomplete"))
        }
        (Some(true), 1..) => {
            Some(format!("it left at {at} with exit code {code} after a report that says complete"))
        }
        _ => None,
    }
}

/// A report of what was not there yet.
fn too_early(facts: &Facts, report: &Report) -> Option<String> {
    let there = facts.ledger.chunks_committed_by(report.t_s + CLOCKS_S);
    let (at, chunks) = (seconds(report.t_s), report.says.chunks);
    let all = facts.ledger.chunks_committed();
    let later = all - there;
    if report.says.complete && later > 0 {
        let later = counted(later, "chunk");
        return Some(format!(
            "it reported at {at} that the sweep is complete, and {later} came later"
        ));
    }
    // More than there ever were is told elsewhere.
    (chunks > there && chunks <= all).then(|| {
        format!("it reported {} at {at}, and {there} were committed", counted(chunks, "chunk"))
    })
}

/// An earlier report that says that the sweep is complete, and something else than the last one.
fn contradicts(report: &Report, last: &Report) -> Option<String> {
    let (one, other) = (&report.says, &last.says);
    let same = (one.chunks, one.count) == (other.chunks, other.count)
        && [one.sum, one.min, one.max, one.avg] == [other.sum, other.min, other.max, other.avg];
    (one.complete && !same).then(|| {
        let (at, then) = (seconds(report.t_s), seconds(last.t_s));
        format!(
            "it reported at {at} that the sweep is complete, with sum {} over {}, and at {then} sum {} \
             over {}",
            one.sum, one.count, other.sum, other.count
        )
    })
}

/// A count of duplicates that were not there, or that leaves out some that were.
fn wrong_duplicates(facts: &Facts, last: &Report) -> Option<String> {
    let ledger = &facts.ledger;
    let has_read_all = last.says.chunks == ledger.chunks_committed();
    // What a broker that was struck holds in the end is not what it had shown.
    let kept_all = !facts.strikes.iter().any(|strike| strike.bit && strike.target == BROKER);
    let least = if has_read_all && kept_all { ledger.duplicates_before_last } else { 0 };
    let claimed = last.says.duplicates_removed;
    (!(least..=ledger.duplicates).contains(&claimed)).then(|| {
        let claimed = counted(claimed, "duplicate");
        format!("it says that it removed {claimed}, and {} were stored", ledger.duplicates)
    })
}

/// A count of dead letters that are not there, or that leaves out some that are.
fn wrong_dead_letters(facts: &Facts, last: &Report) -> Option<String> {
    let (least, most) = facts.ledger.chunks_dead();
    let claimed = last.says.dead_lettered?;
    (!(least..=most).contains(&claimed)).then(|| {
        let (claimed, seen) = (counted(claimed, "chunk"), most.max(least));
        format!("it says that {claimed} are dead, and the dead letters are of {seen}")
    })
}
