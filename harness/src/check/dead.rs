//! Dead letters where the scenario expects some: a part of coverage.

use std::collections::BTreeSet;

use super::Outcome;
use crate::facts::{Facts, first_ranges};
use crate::plan::{Backend, FaultKind, Plan, PlannedFault};
use crate::words::{chunk_id, counted, parameters};

/// What is wrong in any case, even while the sweep still runs: more letters than expected, or
/// parameters that were committed although they are dead.
pub(super) fn too_many(plan: &Plan, facts: &Facts) -> Vec<String> {
    let (there, expected) = (letters(plan, facts), plan.expect.dead_letters);
    let mut words = Vec::new();
    if there > expected {
        words.push(format!("{} instead of {expected}", counted(there, "dead letter")));
    } else if let Some(others) = others(plan, facts) {
        words.push(others);
    }
    let ledger = &facts.ledger;
    let both = |(start, end)| ledger.committed().within(start, end);
    let both = ledger.dead_lettered.set.iter().flat_map(both).map(|(start, end)| end - start);
    match both.sum::<u64>() {
        0 => {}
        both => words.push(format!("{both} committed and in the dead letters")),
    }
    words
}

/// What is wrong once nothing more will come: letters that were expected are not there.
pub(super) fn too_few(plan: &Plan, facts: &Facts) -> Option<String> {
    let (there, expected) = (letters(plan, facts), plan.expect.dead_letters);
    (there < expected).then(|| format!("{} instead of {expected}", counted(there, "dead letter")))
}

/// Why nothing is known of the replay that was planned.
pub(super) fn untested(plan: &Plan, facts: &Facts) -> Option<&'static str> {
    match facts.replayed {
        _ if plan.afterwards.is_none() => None,
        None => Some("every parameter counted once, but the sweep ended before the replay"),
        Some(0) => Some("every parameter counted once, but there was no dead letter to replay"),
        Some(_) => None,
    }
}

/// How many dead letters were replayed, where some were.
pub(super) fn replays(facts: &Facts) -> String {
    match facts.replayed {
        None | Some(0) => String::new(),
        Some(letters) => format!("; {} replayed", counted(letters, "dead letter")),
    }
}

/// All that is not dead counted once, and what is dead was expected to be; it is named.
pub(super) fn as_expected(plan: &Plan, facts: &Facts, again: &str) -> Outcome {
    let dead = &facts.ledger.dead_lettered;
    let all = plan.sweep.params();
    let counted_once = all.saturating_sub(dead.set.len());
    let chunks = counted(facts.ledger.chunks_committed(), "chunk");
    let ranges: Vec<String> = first_ranges(&dead.set).into_iter().map(parameters).collect();
    let ranges = ranges.join(", ");
    let letters = counted(plan.expect.dead_letters, "chunk");
    Outcome::pass(format!(
        "{counted_once} of {all} parameters in {chunks}, each counted exactly once{again}; in the \
         dead letters, as expected: {ranges} ({letters})"
    ))
    .because(dead.evidence())
}

/// That the dead letters at the end are fewer, or more, than the chunks that they are of.
pub(super) fn other_than_stored(plan: &Plan, facts: &Facts) -> Option<String> {
    let (there, seen) = (facts.depths?.letters, letters(plan, facts));
    // A server that is killed may have one letter twice, or in one of its two queues alone.
    let is_known = plan.backend != Backend::RabbitMq
        || !facts.strikes.iter().any(crate::facts::Strike::is_on_broker);
    match there {
        _ if !is_known || there == seen => None,
        _ if there < seen => {
            let gone = seen - there;
            let (were, are) = if gone == 1 { ("was", "is") } else { ("were", "are") };
            let gone = counted(gone, "dead letter");
            Some(format!("{gone} that {were} seen {are} not there any more"))
        }
        _ if seen == 0 => {
            Some(format!("{} that nobody was told of", counted(there, "dead letter")))
        }
        _ => Some(format!("{} of {}", counted(there, "dead letter"), counted(seen, "chunk"))),
    }
}

/// Chunks that the plan itself makes dead letters of.
fn implied(plan: &Plan) -> BTreeSet<u64> {
    let poison = |fault: &&PlannedFault| fault.kind == FaultKind::Poison;
    plan.faults.iter().filter(poison).filter_map(|fault| fault.settings.chunk).collect()
}

/// That the poison missed an attempt, where that is all: a chunk that was done before its worker could be
/// killed is no dead letter, and nothing is known of what would have become of it.
pub(super) fn escaped(plan: &Plan, facts: &Facts) -> Option<String> {
    let has_result = |index: &u64| facts.ledger.committed_s(*index).is_some();
    let escaped: Vec<u64> = implied(plan).into_iter().filter(has_result).collect();
    let expected = plan.expect.dead_letters;
    let explained = letters(plan, facts) + escaped.len() as u64 == expected;
    (explained && !escaped.is_empty()).then(|| {
        let names: Vec<String> = escaped.into_iter().map(chunk_id).collect();
        format!(
            "chunk {} was done before its worker could be killed: the poison missed an attempt (let its \
             chunks take longer)",
            names.join(", ")
        )
    })
}

/// Letters of other chunks than the plan implies, where as many are there as are expected; those that it
/// does not name may be of any chunk.
fn others(plan: &Plan, facts: &Facts) -> Option<String> {
    let implied = implied(plan);
    let size = plan.sweep.chunk_size;
    let index = |parameter: u64| (parameter - plan.sweep.start) / size;
    let ranges = facts.ledger.dead_lettered.set.iter();
    let dead: BTreeSet<u64> =
        ranges.flat_map(|(start, end)| index(start)..=index(end - 1)).collect();
    let unnamed = plan.expect.dead_letters.saturating_sub(implied.len() as u64);
    let mut words = Vec::new();
    let no_chunk = facts.ledger.letters_of_no_chunk;
    if no_chunk > 0 {
        words.push(format!("{} of no chunk of the sweep", counted(no_chunk, "dead letter")));
    }
    words.extend(other_than_stored(plan, facts));
    let named = |chunks: Vec<u64>| {
        let names: Vec<String> = chunks.into_iter().take(8).map(chunk_id).collect();
        names.join(", ")
    };
    let beyond: Vec<u64> = dead.difference(&implied).copied().collect();
    if beyond.len() as u64 > unnamed {
        let implied = named(implied.iter().copied().collect());
        let said = format!("a dead letter of chunk {}, and not of {implied}", named(beyond));
        words.push(said);
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Chunks that are dead, and letters that name none.
fn letters(plan: &Plan, facts: &Facts) -> u64 {
    let dead = &facts.ledger.dead_lettered;
    let index = |parameter: u64| parameter.saturating_sub(plan.sweep.start) / plan.sweep.chunk_size;
    let chunks = dead.set.iter().map(|(start, end)| index(end - 1) - index(start) + 1);
    chunks.sum::<u64>() + (dead.count() - dead.set.len())
}

#[cfg(test)]
mod tests {
    use super::super::coverage::judge;
    use super::super::testing::{History, plan, told};
    use crate::history::{EndReason, Event, Record};
    use crate::plan::Afterwards;
    use insta::assert_snapshot;
    use std::collections::BTreeMap;

    fn letter(chunk_id: &str) -> Event {
        Event::DeadLettered {
            chunk_id: Some(chunk_id.into()),
            range: None,
            reason: "no luck".into(),
            attempts: 4,
        }
    }

    /// A run in which so many dead letters are expected, and these chunks are dead.
    fn history(expected: u64, dead: &[&str]) -> History {
        let mut plan = plan();
        plan.expect.dead_letters = expected;
        let history = History::of(plan);
        dead.iter().fold(history, |history, id| history.without_chunk(id).with(9.0, letter(id)))
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn dead_letters_that_are_expected_pass_and_are_named() {
        assert_snapshot!(judged(&history(3, &["00031", "00040", "00041"])), @r"
        pass: 970 of 1000 parameters in 97 chunks, each counted exactly once; in the dead letters, as expected: parameters 310..320, parameters 400..420 (3 chunks)
        - chunks 00031, 00040, 00041 are in the dead letters: no luck
        ");
    }

    #[test]
    fn a_chunk_with_two_letters_or_with_one_that_is_gone_fails() {
        let twice = history(1, &["00031"]).with(10.0, letter("00031"));
        assert_snapshot!(judged(&twice), @r"
        fail: of 1000 parameters: 2 dead letters of 1 chunk
        - chunks 00031, 00031 are in the dead letters: no luck
        ");
        let gone = history(1, &["00031"]).spoil(|record| {
            if let Event::Depths { letters, .. } = &mut record.event {
                *letters = 0;
            }
        });
        assert_snapshot!(judged(&gone), @r"
        fail: of 1000 parameters: 1 dead letter that was seen is not there any more
        - chunk 00031 is in the dead letters: no luck
        ");
    }

    #[test]
    fn more_than_expected_fail() {
        assert_snapshot!(judged(&history(1, &["00031", "00040"])), @r"
        fail: of 1000 parameters: 2 dead letters instead of 1
        - chunks 00031, 00040 are in the dead letters: no luck
        ");
    }

    #[test]
    fn one_of_no_chunk_is_more_than_expected() {
        let history = history(1, &["00031"]).with(10.0, letter("00100"));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 2 dead letters instead of 1
        - chunk 00031 is in the dead letters: no luck
        - a dead letter names no chunk of the sweep: no luck
        ");
    }

    #[test]
    fn fewer_than_expected_fail() {
        assert_snapshot!(judged(&history(1, &[])), @"fail: of 1000 parameters: 0 dead letters instead of 1");
    }

    #[test]
    fn fewer_than_expected_so_far_are_inconclusive() {
        let history = history(2, &["00031"]).ended(EndReason::Interrupted);
        assert_snapshot!(judged(&history), @r"
        inconclusive: of 1000 parameters: 1 dead letter instead of 2 so far, when the watching ended
        - chunk 00031 is in the dead letters: no luck
        ");
    }

    #[test]
    fn what_is_committed_and_dead_fails() {
        let history = history(1, &[]).with(9.0, letter("00031"));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 10 committed and in the dead letters
        - chunk 00031 is in the dead letters: no luck
        ");
    }

    /// A run of which chunk 31 was dead for a while, and so many letters were replayed.
    fn replayed(letters: Option<u64>) -> History {
        let mut plan = plan();
        plan.afterwards = Some(Afterwards::Replay { env: BTreeMap::new() });
        let mut history = History::of(plan);
        if let Some(letters) = letters {
            history.records.insert(7, Record { t_s: 1.0, event: Event::Replayed { letters } });
            history.records.insert(7, Record { t_s: 0.9, event: letter("00031") });
        }
        history
    }

    #[test]
    fn a_chunk_that_was_replayed_and_committed_passes() {
        assert_snapshot!(judged(&replayed(Some(1))), @"pass: all 1000 parameters in 100 chunks, each counted exactly once; 1 dead letter replayed");
    }

    #[test]
    fn a_chunk_that_was_replayed_and_dies_again_fails() {
        let history = replayed(Some(1)).without_chunk("00031");
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 10 missing
        - parameters 310..320 (chunk 00031): its task is settled without a result; nobody was seen with it
        ");
        assert_snapshot!(judged(&history.with(9.0, letter("00031"))), @r"
        fail: of 1000 parameters: 10 in the dead letters
        - chunk 00031 is in the dead letters: no luck
        ");
    }

    #[test]
    fn a_replay_that_replayed_nothing_or_never_came_is_inconclusive() {
        let mut nothing = replayed(Some(0));
        nothing.records.remove(7);
        assert_snapshot!(judged(&nothing), @"inconclusive: every parameter counted once, but there was no dead letter to replay");
        assert_snapshot!(judged(&replayed(None)), @"inconclusive: every parameter counted once, but the sweep ended before the replay");
    }

    #[test]
    fn what_is_missing_besides_fails() {
        assert_snapshot!(judged(&history(1, &["00031"]).without_chunk("00050")), @r"
        fail: of 1000 parameters: 10 missing
        - parameters 500..510 (chunk 00050): its task is settled without a result; nobody was seen with it
        ");
    }

    /// A run in which chunk 17 is poisoned, and this one is dead.
    fn poisoned(dead: &str) -> History {
        let mut history = history(1, &[dead]);
        history.plan.faults.push(crate::plan::PlannedFault {
            name: "poison-1".into(),
            trigger: crate::plan::Trigger::Start,
            every: None,
            kind: crate::plan::FaultKind::Poison,
            target: crate::plan::Target::Sweep,
            hold: None,
            settings: crate::plan::Settings { chunk: Some(17), ..Default::default() },
        });
        history
    }

    #[test]
    fn the_poisoned_chunk_is_the_one_that_must_be_dead() {
        assert!(judged(&poisoned("00017")).starts_with("pass"), "{}", judged(&poisoned("00017")));
        assert_snapshot!(judged(&poisoned("00018")), @r"
        fail: of 1000 parameters: a dead letter of chunk 00018, and not of 00017
        - chunk 00018 is in the dead letters: no luck
        ");
    }

    #[test]
    fn a_poisoned_chunk_that_was_done_all_the_same_says_nothing() {
        let mut history = history(1, &[]);
        history.plan.faults = poisoned("00017").plan.faults;
        assert_snapshot!(judged(&history), @"inconclusive: chunk 00017 was done before its worker could be killed: the poison missed an attempt (let its chunks take longer)");
        assert!(judged(&history.without_chunk("00031")).starts_with("fail"));
    }

    #[test]
    fn a_letter_of_no_chunk_fails_however_many_are_expected() {
        let history = history(2, &["00031"]).with(10.0, letter("00100"));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 1 dead letter of no chunk of the sweep
        - chunk 00031 is in the dead letters: no luck
        - a dead letter names no chunk of the sweep: no luck
        ");
    }

    #[test]
    fn a_letter_of_another_range_is_of_no_chunk() {
        let mut other = letter("00031");
        if let Event::DeadLettered { range, .. } = &mut other {
            *range = Some((0, 10));
        }
        let history = history(1, &[]).without_chunk("00031").with(9.0, other);
        assert!(judged(&history).starts_with("fail"), "{}", judged(&history));
    }
}
