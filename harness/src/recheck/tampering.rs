//! Whatever is done to one line of whichever history, the verdict is never better than before.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::judge_directory;
use crate::check::testing::{History, plan, plan_with_kill, static_plan};
use crate::history::{EndReason, Event, FILE_NAME};
use crate::plan::Plan;
use crate::results;
use crate::verdict::Verdict;

/// Ways in which a history is bad, each by itself enough.
const SPOILERS: &[fn(History) -> History] = &[
    |history| history.without_chunk("00031"),
    |history| {
        history.spoil(|record| {
            if let Event::Result(result) = &mut record.event
                && result.chunk_id.ends_with("3")
            {
                result.sum += 0.01;
            }
        })
    },
    |history| {
        let again = history.records.iter().find(|it| matches!(it.event, Event::Result(_)));
        let again = again.unwrap().event.clone();
        history.with(34.0, again)
    },
    |history| history.with(34.0, Event::Resubmitted { chunk_id: "00001".into(), times: 2 }),
    |history| history.with(20.0, Event::UnreadableResult { reason: "not JSON".into() }),
    |history| history.with(34.5, Event::BrokerLost { reason: "connection refused".into() }),
    |history| history.spoil_aggregate(|aggregate| aggregate.sum += 1.0),
    |history| history.spoil_aggregate(|aggregate| aggregate.complete = false),
    |history| history.ended(EndReason::Interrupted),
    |history| history.without(|event| matches!(event, Event::Aggregate(_))),
    |history| history.without(|event| matches!(event, Event::FaultInjected { .. })),
    |history| history.without(|event| matches!(event, Event::SweepStarted)),
    |history| history.without(|event| matches!(event, Event::RunEnded { .. })),
    |history| {
        history.spoil(|record| {
            if let Event::ProcessExited { process, code, signal, .. } = &mut record.event
                && process == "worker-2"
            {
                (*code, *signal) = (Some(3), None);
            }
        })
    },
    |history| {
        let reason = "attempt 4 failed".into();
        let (chunk_id, range) = (Some("00007".into()), Some((70, 80)));
        history.with(34.0, Event::DeadLettered { chunk_id, range, reason, attempts: 4 })
    },
];

const PLANS: [fn() -> Plan; 3] = [plan, plan_with_kill, static_plan];

/// The history of one of the plans, with these spoilers.
fn history(plan: usize, spoilers: &[usize]) -> History {
    spoilers.iter().fold(History::of(PLANS[plan]()), |history, at| SPOILERS[*at](history))
}

/// What is done to one line.
#[derive(Debug, Clone)]
enum Tampering {
    Remove(Index),
    Double(Index, Index),
    Move(Index, Index),
    /// Another byte in place of one.
    Byte(Index, Index, u8),
    /// Another digit in place of one.
    Digit(Index, Index, u8),
    /// Another line's event, at this line's time.
    Event(Index, Index),
    /// The value of another line's last field in place of this one's.
    Field(Index, Index),
    CutOff(Index, Index),
    /// A digit of the plan, which is as much a part of the evidence.
    Plan(Index, u8),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let any = any::<Index>;
    prop_oneof![
        3 => any().prop_map(Tampering::Remove),
        1 => (any(), any()).prop_map(|(line, to)| Tampering::Double(line, to)),
        1 => (any(), any()).prop_map(|(line, to)| Tampering::Move(line, to)),
        1 => (any(), any(), 32..127_u8).prop_map(|(line, at, to)| Tampering::Byte(line, at, to)),
        2 => (any(), any(), b'0'..=b'9').prop_map(|(line, at, to)| Tampering::Digit(line, at, to)),
        2 => (any(), any()).prop_map(|(line, of)| Tampering::Event(line, of)),
        2 => (any(), any()).prop_map(|(line, of)| Tampering::Field(line, of)),
        1 => (any(), any()).prop_map(|(line, at)| Tampering::CutOff(line, at)),
        1 => (any(), b'0'..=b'9').prop_map(|(at, to)| Tampering::Plan(at, to)),
    ]
}

impl Tampering {
    fn apply(&self, lines: &mut Vec<Vec<u8>>, plan: &mut [u8]) {
        let all = lines.len();
        match self {
            Self::Remove(line) => drop(lines.remove(line.index(all))),
            Self::Double(line, to) => {
                let again = lines[line.index(all)].clone();
                lines.insert(to.index(all + 1), again);
            }
            Self::Move(line, to) => {
                let moved = lines.remove(line.index(all));
                lines.insert(to.index(all), moved);
            }
            Self::Byte(line, at, to) => {
                let line = &mut lines[line.index(all)];
                let at = at.index(line.len());
                line[at] = *to;
            }
            Self::Digit(line, at, to) => put_digit(&mut lines[line.index(all)], at, *to),
            Self::Event(line, of) => {
                let (line, of) = (line.index(all), of.index(all));
                let after_time = |line: &[u8]| place(line, |text| text.find(",\"event\""));
                let time = &lines[line][..after_time(&lines[line])];
                lines[line] = [time, &lines[of][after_time(&lines[of])..]].concat();
            }
            Self::Field(line, of) => {
                let (line, of) = (line.index(all), of.index(all));
                let last_value = |line: &[u8]| {
                    let from = place(line, |text| text.rfind(':'));
                    from..place(line, |text| text.rfind('}')).max(from)
                };
                let value = lines[of][last_value(&lines[of])].to_vec();
                let range = last_value(&lines[line]);
                lines[line].splice(range, value);
            }
            Self::CutOff(line, at) => {
                let line = &mut lines[line.index(all)];
                line.truncate(at.index(line.len()));
            }
            Self::Plan(at, to) => put_digit(plan, at, *to),
        }
    }
}

/// Where something is in a line, or its end.
fn place(line: &[u8], find: impl Fn(&str) -> Option<usize>) -> usize {
    find(str::from_utf8(line).unwrap()).unwrap_or(line.len())
}

fn put_digit(text: &mut [u8], at: &Index, digit: u8) {
    let digits: Vec<usize> = (0..text.len()).filter(|at| text[*at].is_ascii_digit()).collect();
    if !digits.is_empty() {
        text[digits[at.index(digits.len())]] = digit;
    }
}

/// What the directory comes to; nothing, where it is refused.
fn verdict(directory: &Path) -> Option<Verdict> {
    judge_directory(directory).ok().map(|rechecked| rechecked.results.verdict)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 4000 }))]

    #[test]
    fn no_line_can_be_changed_so_that_the_verdict_is_better(
        plan in 0..PLANS.len(),
        spoilers in prop::collection::vec(0..SPOILERS.len(), 0..3),
        tampering in tampering(),
    ) {
        let dir = history(plan, &spoilers).written();
        let (events, plan) = (dir.path().join(FILE_NAME), dir.path().join(Plan::FILE_NAME));
        let before = verdict(dir.path()).unwrap();
        let whole = std::fs::read(&events).unwrap();
        let mut lines: Vec<Vec<u8>> =
            whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let planned = std::fs::read(&plan).unwrap();
        let mut replanned = planned.clone();
        tampering.apply(&mut lines, &mut replanned);
        let changed = lines.concat();
        std::fs::write(&events, &changed).unwrap();
        std::fs::write(&plan, &replanned).unwrap();

        let is_changed = changed != whole || replanned != planned;
        if let Some(after) = verdict(dir.path()) {
            prop_assert!(after >= before, "{before} became {after}");
        } else {
            prop_assert!(is_changed);
        }
        // What the run itself said may be lost as well.
        std::fs::remove_file(dir.path().join(results::FILE_NAME)).unwrap();
        if is_changed {
            prop_assert_ne!(verdict(dir.path()), Some(Verdict::Pass));
        }
    }
}

#[test]
fn good_and_bad_histories_are_generated() {
    let good = History::of(plan()).written();
    assert_eq!(verdict(good.path()), Some(Verdict::Pass));
    for (number, spoil) in SPOILERS.iter().enumerate() {
        let plan = if number == 10 { plan_with_kill() } else { plan() };
        let dir = spoil(History::of(plan)).written();
        assert_ne!(verdict(dir.path()), Some(Verdict::Pass), "spoiler {number}");
    }
}
