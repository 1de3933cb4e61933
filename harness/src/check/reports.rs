//! What the aggregator has reported, and when, and how it ended: a part of its check. Each one that was
//! started may report once, what it says must have been so, and its exit code must say the same.

use crate::facts::{AGGREGATOR, Exit, Facts, Report, Strike};
use crate::plan::{Backend, Environment, Plan, WorkersIn};
use crate::words::{counted, seconds};

/// By how much the times of a report and of a result may be apart, in seconds, where they are of one
/// machine's clock.
const SAME_CLOCK_S: f64 = 0.1;

/// The same on RabbitMQ, which does not say when a message came; or a quarter of the sweep, since whoever reads
/// may be behind.
const AS_SEEN_S: f64 = 1.0;

/// And where a cluster's clock is known by when its first task was seen.
const CLUSTER_CLOCK_S: f64 = 10.0;

/// What is wrong with its reports besides their sums, one line each.
pub(super) fn faults(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    let is_known = whose_reports_are_known(plan, facts);
    if is_known {
        for exit in facts.aggregator_exits() {
            faults.extend(wrong_exit(facts, exit));
        }
    }
    let Some((last, earlier)) = facts.reports.split_last() else { return faults };
    for (one, next) in facts.reports.iter().zip(&facts.reports[1..]) {
        // One of others may say how far it has come.
        let is_progress =
            plan.has_foreign_aggregator() && (!one.says.complete || one.says == next.says);
        if is_known && one.life == next.life && !is_progress {
            let (one, next) = (seconds(one.t_s), seconds(next.t_s));
            faults.push(format!("one aggregator reported twice, at {one} and at {next}"));
        }
    }
    faults.extend(facts.reports.iter().filter_map(|report| too_early(plan, facts, report)));
    faults.extend(earlier.iter().filter_map(|report| contradicts(report, last)));
    faults.extend(wrong_duplicates(facts, last));
    // Ours counts what our own workers have buried; on Redis, foreign ones tell nobody.
    if plan.foreign.is_none() || plan.has_foreign_aggregator() {
        faults.extend(wrong_dead_letters(plan, facts, last));
    }
    faults
}

/// Whether it is known which aggregator reported what. From a container its output comes when it may have
/// ended already, and another been started.
fn whose_reports_are_known(plan: &Plan, facts: &Facts) -> bool {
    let lives = facts.starts.iter().filter(|(process, _)| process == AGGREGATOR).count();
    plan.workers_in == WorkersIn::Process || lives < 2
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
fn too_early(plan: &Plan, facts: &Facts, report: &Report) -> Option<String> {
    let apart_s = match plan.environment {
        Environment::Process | Environment::Container => match plan.backend {
            Backend::RabbitMq if plan.foreign.is_some() => {
                AS_SEEN_S.max(facts.wall_s().unwrap_or(0.0) / 4.0)
            }
            Backend::RabbitMq => AS_SEEN_S,
            _ => SAME_CLOCK_S,
        },
        Environment::Kubernetes => CLUSTER_CLOCK_S,
        // Nobody knows its clock.
        Environment::External => return None,
    };
    let there = facts.ledger.chunks_committed_by(report.t_s + apart_s);
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
    let least = if has_read_all { ledger.duplicates_before_last } else { 0 };
    let claimed = last.says.duplicates_removed;
    // What a broker that was struck holds in the end need not be all that it had shown.
    let is_known = !facts.strikes.iter().any(Strike::is_on_broker);
    (is_known && !(least..=ledger.duplicates).contains(&claimed)).then(|| {
        let claimed = counted(claimed, "duplicate");
        format!("it says that it removed {claimed}, and {} were stored", ledger.duplicates)
    })
}

/// A count of dead letters that are not there, or that leaves out some that are.
fn wrong_dead_letters(plan: &Plan, facts: &Facts, last: &Report) -> Option<String> {
    let (least, most) = facts.ledger.chunks_dead();
    // One of others need not count what workers of others have buried.
    let least = if plan.foreign.is_some() { 0 } else { least };
    let claimed = last.says.dead_lettered?;
    (!(least..=most).contains(&claimed)).then(|| {
        let (claimed, seen) = (counted(claimed, "chunk"), most.max(least));
        format!("it says that {claimed} are dead, and the dead letters are of {seen}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, STRUCK_S, plan, told};
    use super::super::{aggregate, processes};
    use super::AGGREGATOR;
    use crate::history::{EndReason, Event, SeenAggregate};
    use crate::plan::{Foreign, ForeignProgram, Plan, RoleProgram};
    use insta::assert_snapshot;

    const RIGHT: &str = "pass: sum 500035.5 over 1000 parameters, exactly as implied";

    fn judged(history: &History) -> String {
        told(&history.judged_by(aggregate::judge))
    }

    fn report(history: &History) -> Event {
        let report = |event: &&Event| matches!(event, Event::Aggregate(_));
        history.records.iter().map(|record| &record.event).find(report).unwrap().clone()
    }

    /// Its exit code.
    fn leaves(history: History, with: i32) -> History {
        history.spoil(|record| match &mut record.event {
            Event::ProcessExited { process, code, .. } if process == AGGREGATOR => {
                *code = Some(with);
            }
            _ => {}
        })
    }

    /// The aggregator is killed after it has reported this at [`STRUCK_S`], and started again.
    fn restarted(plan: Plan, early: Event) -> History {
        let mut history = History::of(plan);
        let at = history.records.iter().position(|record| record.t_s > STRUCK_S).unwrap();
        let process = || AGGREGATOR.to_owned();
        let (code, signal, said) = (None, Some(9), None);
        let events = [
            early,
            Event::ProcessExited { process: process(), pid: 104, code, signal, said },
            Event::ProcessStarted { process: process(), pid: 200 },
        ];
        for event in events.into_iter().rev() {
            history.records.insert(at, crate::history::Record { t_s: STRUCK_S, event });
        }
        history
    }

    #[test]
    fn an_aggregator_of_others_may_leave_out_letters_of_others_and_invents_none() {
        let claims = |letters: u64| {
            let command = vec!["w".to_owned()];
            let mut plan = plan();
            plan.aggregator =
                RoleProgram::Foreign(ForeignProgram { command: command.clone(), image: None });
            plan.foreign = Some(Foreign { command, image: None, workers: 3 });
            let claim =
                move |aggregate: &mut SeenAggregate| aggregate.dead_lettered = Some(letters);
            judged(&History::of(plan).spoil_aggregate(claim))
        };
        assert!(claims(0).starts_with("pass"), "{}", claims(0));
        assert_snapshot!(claims(7), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it says that 7 chunks are dead, and the dead letters are of 0
        ");
    }

    #[test]
    fn an_exit_code_of_1_after_a_complete_report_fails() {
        let history = leaves(History::of(plan()), 1);
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it left at 34.6 s with exit code 1 after a report that says complete
        ");
        assert!(
            told(&history.judged_by(processes::judge)).starts_with("fail: 1 process ended badly")
        );
        assert!(judged(&history.ended(EndReason::Interrupted)).starts_with("inconclusive"));
    }

    #[test]
    fn an_exit_code_of_0_after_an_incomplete_report_fails() {
        let history = History::of(plan()).spoil_aggregate(|aggregate| aggregate.complete = false);
        let excused = history.judged_by(processes::judge);
        assert!(told(&excused).starts_with("pass"), "{excused:?}");
        assert_snapshot!(judged(&leaves(history, 0)), @r"
        fail: the aggregator has every parameter and calls that incomplete
        - it left at 34.6 s with exit code 0 after a report that says incomplete
        ");
    }

    #[test]
    fn a_second_report_of_the_same_aggregator_fails() {
        let history = History::of(plan());
        let mut first = report(&history);
        if let Event::Aggregate(first) = &mut first {
            first.sum += 1.0;
        }
        let at = history.records.iter().position(|it| matches!(it.event, Event::Aggregate(_)));
        let mut history = history;
        history.records.insert(at.unwrap(), crate::history::Record { t_s: 34.5, event: first });
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - one aggregator reported twice, at 34.5 s and at 34.6 s
        - it reported at 34.5 s that the sweep is complete, with sum 500036.5 over 1000, and at 34.6 s sum 500035.5 over 1000
        ");
    }

    #[test]
    fn one_that_is_started_again_may_report_again() {
        let mut early = report(&History::of(plan()));
        if let Event::Aggregate(early) = &mut early {
            (early.chunks, early.count, early.complete) = (30, 300, false);
        }
        assert_eq!(judged(&restarted(plan(), early.clone())), RIGHT);
        if let Event::Aggregate(early) = &mut early {
            (early.chunks, early.count) = (77, 770);
        }
        assert_snapshot!(judged(&restarted(plan(), early)), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it reported 77 chunks at 10.8 s, and 30 were committed
        ");
    }

    #[test]
    fn a_complete_report_before_the_last_result_fails() {
        let early = report(&History::of(plan()));
        assert_snapshot!(judged(&restarted(plan(), early)), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it reported at 10.8 s that the sweep is complete, and 70 chunks came later
        ");
    }

    #[test]
    fn claimed_duplicates_that_nobody_saw_fail() {
        let history = History::of(plan()).spoil_aggregate(|it| it.duplicates_removed = 3);
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it says that it removed 3 duplicates, and 0 were stored
        ");
    }

    #[test]
    fn duplicates_that_it_must_have_read_are_counted_and_later_ones_may_be() {
        let history = History::of(plan());
        let again = history.result_of("00007");
        let late = History::of(plan()).with(40.0, again.clone());
        assert_eq!(judged(&late), RIGHT);
        let mut early = history;
        let at = early.records.iter().position(|it| it.t_s > STRUCK_S).unwrap();
        early.records.insert(at, crate::history::Record { t_s: STRUCK_S, event: again });
        assert_snapshot!(judged(&early), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it says that it removed 0 duplicates, and 1 were stored
        ");
        assert_eq!(judged(&early.spoil_aggregate(|it| it.duplicates_removed = 1)), RIGHT);
    }

    #[test]
    fn claimed_dead_letters_that_nobody_saw_fail() {
        let history = History::of(plan()).spoil_aggregate(|it| it.dead_lettered = Some(2));
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - it says that 2 chunks are dead, and the dead letters are of 0
        ");
        assert_eq!(
            judged(&History::of(plan()).spoil_aggregate(|it| it.dead_lettered = Some(0))),
            RIGHT
        );
    }

    #[test]
    fn one_that_crashed_without_a_report_says_what_it_said_last() {
        let history = History::of(plan()).without(|event| matches!(event, Event::Aggregate(_)));
        let history = history.spoil(|record| match &mut record.event {
            Event::ProcessExited { process, code, said, .. } if process == AGGREGATOR => {
                (*code, *said) = (Some(101), Some("thread 'main' panicked".into()));
            }
            _ => {}
        });
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator reported nothing
        - aggregator exited with code 101 at 34.6 s, and said: thread 'main' panicked
        ");
    }
}
