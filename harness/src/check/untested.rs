//! Strikes that were carried out and test nothing all the same.

use crate::facts::{Facts, Slowed, Strike};
use crate::plan::{BROKER, Backend, Ends, Environment, FaultKind, Plan, Skew};
use crate::words::{beside, counted};

/// Why a strike that was carried out tests nothing, if so.
pub(super) fn why(plan: &Plan, facts: &Facts, strike: &Strike) -> Option<String> {
    if is_of_kind(strike, FaultKind::SlowChunks) {
        return not_slowed(plan, facts.paces.slowed());
    }
    let works = is_worker(strike) || strike.target == BROKER;
    if works && facts.came_too_late(strike) {
        return Some("it struck after the last result".to_owned());
    }
    if never_at_work(plan, facts, strike) {
        return Some(
            "it has committed nothing before, so that nothing shows it at work".to_owned(),
        );
    }
    held_nothing(plan, facts, strike).then(|| {
        "it held no chunk at that moment, so that nobody had to go on with anything".to_owned()
    })
}

/// Whether nobody can know what the worker held, and it had never come to anything either.
fn never_at_work(plan: &Plan, facts: &Facts, strike: &Strike) -> bool {
    let works = || facts.ledger.workers().any(|(worker, _)| worker == strike.target);
    takes_work_away(strike)
        && plan.backend == Backend::RabbitMq
        && strike.held.is_empty()
        && !is_known_who_holds(plan, facts, strike)
        && facts.was_there(&strike.target, strike.t_s)
        && !works()
}

/// Whether it is a fault of a worker that is about the chunk that this one has.
fn takes_work_away(strike: &Strike) -> bool {
    let is_on_workers = strike.consequences.as_ref().is_some_and(|it| it.on_workers);
    let ends = strike.ends() != Ends::No || is_of_kind(strike, FaultKind::Pause);
    is_on_workers && ends && is_worker(strike)
}

/// Whether a strike tested something, and by what that is known.
pub(crate) fn proof(plan: &Plan, facts: &Facts, strike: &Strike) -> (bool, String) {
    let seen = match slowed(plan, facts, strike) {
        Some(slowed) => format!("{}: {slowed}", strike.proof),
        None => strike.proof.clone(),
    };
    match why(plan, facts, strike).filter(|_| strike.bit) {
        Some(why) if is_of_kind(strike, FaultKind::SlowChunks) => (false, why),
        Some(why) => (false, format!("{seen}, but {why}")),
        None => (strike.bit, seen),
    }
}

fn is_of_kind(strike: &Strike, kind: FaultKind) -> bool {
    FaultKind::named(&strike.kind) == Some(kind)
}

fn is_worker(strike: &Strike) -> bool {
    strike.target.starts_with("worker-")
}

/// Whether a worker was ended or frozen that held nothing which somebody else had to do. One that had ended
/// before, and is only started again, leaves nothing behind and brings somebody back.
fn held_nothing(plan: &Plan, facts: &Facts, strike: &Strike) -> bool {
    takes_work_away(strike)
        && strike.held.is_empty()
        && is_known_who_holds(plan, facts, strike)
        && facts.was_there(&strike.target, strike.t_s)
}

/// Whether an empty hand means that the worker held nothing. Static mode hands nothing out. RabbitMQ
/// says it of whom it traces: not where the server is somebody else's, of a foreign worker only once
/// it has a name, and of what it handed out before its server came back not at all.
fn is_known_who_holds(plan: &Plan, facts: &Facts, strike: &Strike) -> bool {
    let broker_struck = |it: &Strike| it.bit && it.target == BROKER && it.t_s <= strike.t_s;
    match plan.backend {
        Backend::Static => false,
        Backend::Embedded | Backend::Redis => true,
        Backend::RabbitMq => {
            plan.environment != Environment::External
                && plan.foreign(&strike.target).is_none()
                && !facts.strikes.iter().any(broker_struck)
        }
    }
}

/// How much longer chunks must have taken to count as slowed down: half of what they should.
fn least_times(skew: Skew) -> f64 {
    1.0 + (skew.factor - 1.0) / 2.0
}

/// Why nothing is tested by chunks that were to take longer, if so.
fn not_slowed(plan: &Plan, Slowed { chunks, others, times }: Slowed) -> Option<String> {
    let Some(skew) = plan.skew() else { return Some("it is not in the plan".to_owned()) };
    let (least, planned) = (least_times(skew), skew.factor);
    match times {
        Some(times) if times >= least => None,
        Some(times) => Some(format!(
            "{} took {} times as long as the others, instead of {planned} times",
            counted(chunks, "drawn chunk"),
            beside(times, least, 1)
        )),
        None if chunks == 0 => Some("none of the drawn chunks was computed".to_owned()),
        None if others == 0 => Some("every chunk that was computed was drawn".to_owned()),
        None => {
            Some("the others took no time that was reported, so nothing is to compare".to_owned())
        }
    }
}

/// How much longer they took.
fn slowed(plan: &Plan, facts: &Facts, strike: &Strike) -> Option<String> {
    let skew = plan.skew().filter(|_| is_of_kind(strike, FaultKind::SlowChunks))?;
    let Slowed { chunks, times, .. } = facts.paces.slowed();
    let times = beside(times?, least_times(skew), 1);
    let took = counted(chunks, "of them").replace("of thems", "of them");
    Some(format!("{took} computed, {times} times as long as the others"))
}

#[cfg(test)]
mod tests {

    use insta::assert_snapshot;

    use super::super::faults::judge;
    use super::super::testing::{History, plan, plan_with_kill, static_plan, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::{Foreign, PlannedFault, Settings, Target, Trigger};
    use crate::results::Results;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    /// A run of which the struck worker held nothing.
    fn idle(plan: Plan, kind: &str) -> History {
        let name = kind.to_owned();
        History::of(plan).spoil(|record| {
            if let Event::FaultInjected { held, kind, .. } = &mut record.event {
                held.clear();
                *kind = name.clone();
            }
        })
    }

    #[test]
    fn the_end_of_a_worker_that_holds_nothing_tests_nothing() {
        assert_snapshot!(judged(&idle(plan_with_kill(), "kill")), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1, on worker-1: it held no chunk at that moment, so that nobody had to go on with anything
        ");
        for kind in ["terminate", "restart", "out-of-memory", "pause"] {
            assert!(judged(&idle(plan_with_kill(), kind)).starts_with("inconclusive"), "{kind}");
        }
        for kind in ["latency", "poison"] {
            assert!(judged(&idle(plan_with_kill(), kind)).starts_with("pass"), "{kind}");
        }
    }

    #[test]
    fn who_has_never_come_to_anything_was_not_at_work_as_far_as_anybody_knows() {
        let foreign = Some(Foreign { command: vec!["w".into()], image: None, workers: 3 });
        let plan = Plan { backend: Backend::RabbitMq, foreign, ..plan_with_kill() };
        let idle = idle(plan, "kill").spoil(|record| match &mut record.event {
            Event::Result(result) if result.worker == "worker-1" => {
                result.worker = "worker-0".into();
            }
            _ => {}
        });
        assert_snapshot!(judged(&idle), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1, on worker-1: it has committed nothing before, so that nothing shows it at work
        ");
    }

    #[test]
    fn where_nobody_knows_who_holds_what_an_empty_hand_says_nothing() {
        assert!(judged(&idle(static_plan(), "kill")).starts_with("pass"));
        let rabbitmq = || Plan { backend: Backend::RabbitMq, ..plan_with_kill() };
        assert!(judged(&idle(rabbitmq(), "kill")).starts_with("inconclusive"));
        let environment = Environment::External;
        assert!(judged(&idle(Plan { environment, ..rabbitmq() }, "kill")).starts_with("pass"));
        let foreign = Some(Foreign { command: vec!["w".into()], image: None, workers: 2 });
        assert!(judged(&idle(Plan { foreign, ..rabbitmq() }, "kill")).starts_with("pass"));
        let broker = Event::FaultInjected {
            fault: "restart-2".into(),
            kind: "restart".into(),
            target: "broker".into(),
            bit: true,
            proof: "seen".into(),
            held: vec![],
        };
        assert!(judged(&idle(rabbitmq(), "kill").with(2.0, broker)).starts_with("pass"));
    }

    #[test]
    fn of_several_that_are_struck_one_that_holds_something_suffices() {
        let strike = |target: &str, t_s: f64, history: History| {
            let event = Event::FaultInjected {
                fault: "kill-1".into(),
                kind: "kill".into(),
                target: target.into(),
                bit: true,
                proof: "seen".into(),
                held: vec![],
            };
            history.with(t_s, event)
        };
        let history = strike("worker-2", 10.8, History::of(plan_with_kill()));
        assert!(judged(&history).starts_with("pass"));
        let history = strike("worker-2", 10.8, idle(plan_with_kill(), "kill"));
        assert!(judged(&history).starts_with("inconclusive"));
    }

    #[test]
    fn who_had_ended_before_holds_nothing_and_is_brought_back() {
        let exit = Event::ProcessExited {
            process: "worker-1".into(),
            pid: 101,
            code: None,
            signal: Some(9),
            said: None,
        };
        assert!(judged(&idle(plan_with_kill(), "restart").with(5.0, exit)).starts_with("pass"));
    }

    /// A run in which a tenth of the chunks is to take ten times as long, and takes so many times.
    fn skewed(times: f64) -> History {
        let mut plan = plan();
        let settings = Settings { share: Some(0.1), factor: Some(10.0), ..Settings::default() };
        plan.faults.push(PlannedFault {
            name: "slow-chunks-1".into(),
            trigger: Trigger::Start,
            every: None,
            kind: FaultKind::SlowChunks,
            target: Target::Sweep,
            hold: None,
            settings,
        });
        let slow = plan.slow_chunks();
        assert!((1..100).contains(&slow.len()));
        let strike = Event::FaultInjected {
            fault: "slow-chunks-1".into(),
            kind: "slow-chunks".into(),
            target: "sweep".into(),
            bit: true,
            proof: format!("{} of 100 chunks drawn", slow.len()),
            held: vec![],
        };
        let mut history = History::of(self::plan());
        history.plan = plan;
        history.with(0.6, strike).spoil(|record| {
            if let Event::Result(result) = &mut record.event
                && slow.contains(&result.chunk_id.parse().unwrap())
            {
                result.duration_s *= times;
            }
        })
    }

    fn results(history: &History) -> Results {
        super::super::testing::judged(history)
    }

    #[test]
    fn chunks_that_took_longer_are_proved_by_what_was_reported() {
        let history = skewed(9.5);
        assert_snapshot!(judged(&history), @"pass: 1 fault planned, proved to have taken effect");
        let fault = &results(&history).faults[0];
        assert!(fault.bit);
        assert_snapshot!(fault.proof, @"7 of 100 chunks drawn: 7 of them computed, 9.5 times as long as the others");
    }

    #[test]
    fn chunks_that_were_to_take_longer_and_did_not_test_nothing() {
        let history = skewed(1.0);
        assert_snapshot!(judged(&history), @r"
        inconclusive: 1 of 1 fault did not bite
        - slow-chunks-1, on sweep: 7 drawn chunks took 1.0 times as long as the others, instead of 10 times
        ");
        let fault = &results(&history).faults[0];
        assert!(!fault.bit);
        assert_snapshot!(fault.proof, @"7 drawn chunks took 1.0 times as long as the others, instead of 10 times");
        assert!(judged(&skewed(5.4)).starts_with("inconclusive"));
    }

    #[test]
    fn where_none_of_them_was_computed_nothing_is_compared() {
        let history = skewed(10.0);
        let slow = history.plan.slow_chunks();
        let history = history.without(|event| {
            matches!(event, Event::Result(it) if slow.contains(&it.chunk_id.parse().unwrap()))
        });
        assert_snapshot!(judged(&history), @r"
        inconclusive: 1 of 1 fault did not bite
        - slow-chunks-1, on sweep: none of the drawn chunks was computed
        ");
    }

    #[test]
    fn figures_say_that_a_strike_tested_nothing() {
        let fault = &results(&idle(plan_with_kill(), "kill")).faults[0];
        assert!(!fault.bit);
        assert_snapshot!(fault.proof, @"process 101 ended by signal 9, but it held no chunk at that moment, so that nobody had to go on with anything");
    }
}
