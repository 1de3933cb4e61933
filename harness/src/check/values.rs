//! Whether a right value says which parameters it was computed over: where the kernel's values come
//! again, a result over others than were asked for may look right.

use super::Outcome;
use crate::facts::{Facts, Formula};
use crate::plan::{Backend, Plan, Sweep};
use crate::words::{chunk_id, counted};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let Some(formula) = Formula::of(&plan.sweep.kernel) else {
        return computed_again(plan, facts);
    };
    let Some(period) = formula.period() else {
        return Outcome::pass("every parameter has a value of its own");
    };
    let alike = match twins(&plan.sweep, period) {
        Some((one, other)) if plan.backend != Backend::Static => {
            format!("chunk {} and chunk {} cannot be told apart", chunk_id(one), chunk_id(other))
        }
        Some(_) => format!("parameters {period} apart cannot be told from each other"),
        None => format!(
            "a result over parameters {period} further on cannot be told from the right one"
        ),
    };
    let said = format!("repeat every {period} parameters: {alike}");
    if plan.strict { Outcome::inconclusive(said) } else { Outcome::pass(said) }
}

/// A program of the user's own: only what was computed again is known to be right.
fn computed_again(plan: &Plan, facts: &Facts) -> Outcome {
    let ledger = &facts.ledger;
    let (again, of) = (ledger.recomputed, ledger.chunks_committed());
    let evidence = ledger.not_recomputed.lines();
    let wanted = plan.expect.recompute.map_or(1, |wanted| wanted.of(of)).max(1);
    if again < wanted {
        let short = match again {
            0 => "nothing was computed again, so no value is known to be right".to_owned(),
            _ => format!(
                "{again} of {} computed again, and at least {wanted} expected",
                counted(of, "chunk")
            ),
        };
        return Outcome::inconclusive(short).because(evidence);
    }
    if again >= of {
        return Outcome::pass(format!("all of {} computed again", counted(of, "chunk")))
            .because(evidence);
    }
    let share = again as f64 / of as f64;
    let said = format!(
        "{again} of {} computed again ({}): a fault in 1 % of them would have been missed with a \
         chance of {}",
        counted(of, "chunk"),
        in_percent(share),
        in_percent(chance_to_miss(again, of)),
    );
    let outcome = if plan.strict { Outcome::inconclusive(said) } else { Outcome::pass(said) };
    outcome.because(evidence)
}

/// The chance that none of the faulty chunks is among those that were drawn: 1 % of all are faulty, and
/// at least one is.
fn chance_to_miss(drawn: u64, of: u64) -> f64 {
    let faulty = of.div_ceil(100);
    // The hypergeometric distribution at 0: each faulty one is among those that were not drawn.
    (0..faulty).map(|n| (of - drawn).saturating_sub(n) as f64 / (of - n) as f64).product()
}

/// In percent, with as many digits as there is something to see.
fn in_percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        10.0.. => format!("{percent:.0} %"),
        0.1.. => format!("{percent:.1} %"),
        _ => format!("{percent:.0e} %"),
    }
}

/// The first two chunks that come to the same.
fn twins(sweep: &Sweep, period: u64) -> Option<(u64, u64)> {
    let apart = period / greatest_common_divisor(period, sweep.chunk_size);
    let size = |(start, end): (u64, u64)| end - start;
    let is_there = apart < sweep.chunks() && size(sweep.chunk(0)) == size(sweep.chunk(apart));
    is_there.then_some((0, apart))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, static_plan, told};
    use super::*;
    use crate::history::{Event, SeenResult};
    use crate::plan::{Kernel, Recompute};
    use insta::assert_snapshot;

    fn judged(plan: Plan) -> String {
        told(&History::of(plan).judged_by(judge))
    }

    fn with_params(params: u64, chunk_size: u64) -> Plan {
        let mut plan = plan();
        (plan.sweep.end, plan.sweep.chunk_size) = (params, chunk_size);
        plan
    }

    fn exec_plan() -> Plan {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["./simulate".into()] };
        plan
    }

    /// A history in which the first so many chunks are computed again.
    fn computed_again(plan: Plan, chunks: u64) -> History {
        let history = History::of(plan);
        (0..chunks).fold(history, |history, index| {
            let Event::Result(result) = history.result_of(&format!("{index:05}")) else {
                unreachable!("it is a result")
            };
            let again = SeenResult { worker: "harness".into(), ..result };
            history.with(99.0, Event::Recomputed(again))
        })
    }

    #[test]
    fn a_kernel_whose_values_never_repeat_passes() {
        let mut plan = plan();
        (plan.sweep.kernel, plan.strict) = (Kernel::Distinct { work_ms: 100.0 }, true);
        assert_snapshot!(judged(plan), @"pass: every parameter has a value of its own");
    }

    #[test]
    fn two_chunks_that_come_to_the_same_are_named() {
        assert_snapshot!(judged(with_params(2000, 10)), @"pass: repeat every 1000 parameters: chunk 00000 and chunk 00100 cannot be told apart");
        assert_snapshot!(judged(with_params(2000, 16)), @"pass: repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one");
        assert_snapshot!(judged(with_params(9000, 2000)), @"pass: repeat every 1000 parameters: chunk 00000 and chunk 00001 cannot be told apart");
    }

    #[test]
    fn a_remainder_is_no_twin_and_what_lies_beyond_the_sweep_is() {
        assert_snapshot!(judged(with_params(1005, 10)), @"pass: repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one");
        assert_snapshot!(judged(plan()), @"pass: repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one");
    }

    #[test]
    fn in_static_mode_there_are_no_chunks_to_name() {
        let mut plan = static_plan();
        plan.sweep.end = 3000;
        assert_snapshot!(judged(plan), @"pass: repeat every 1000 parameters: parameters 1000 apart cannot be told from each other");
    }

    #[test]
    fn strictly_values_that_repeat_are_inconclusive() {
        let mut plan = plan();
        plan.strict = true;
        assert_snapshot!(judged(plan), @"inconclusive: repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one");
    }

    #[test]
    fn all_chunks_of_a_program_computed_again_pass_strictly_too() {
        let mut plan = exec_plan();
        plan.strict = true;
        assert_snapshot!(told(&computed_again(plan, 100).judged_by(judge)), @"pass: all of 100 chunks computed again");
    }

    #[test]
    fn some_chunks_computed_again_say_what_that_leaves_open() {
        assert_snapshot!(told(&computed_again(exec_plan(), 30).judged_by(judge)), @"pass: 30 of 100 chunks computed again (30 %): a fault in 1 % of them would have been missed with a chance of 70 %");
        let mut plan = exec_plan();
        plan.strict = true;
        assert!(told(&computed_again(plan, 30).judged_by(judge)).starts_with("inconclusive"));
    }

    #[test]
    fn fewer_than_were_asked_for_are_inconclusive() {
        let mut plan = exec_plan();
        plan.expect.recompute = Some(Recompute::Percent(20.0));
        assert_snapshot!(told(&computed_again(plan.clone(), 19).judged_by(judge)), @"inconclusive: 19 of 100 chunks computed again, and at least 20 expected");
        assert!(told(&computed_again(plan, 20).judged_by(judge)).starts_with("pass"));
    }

    #[test]
    fn nothing_computed_again_is_inconclusive_and_says_why() {
        let failed = |id: &str| Event::NotRecomputed {
            chunk_id: id.into(),
            range: None,
            reason: "cannot start the kernel".into(),
        };
        let history = History::of(exec_plan()).with(99.0, failed("00007"));
        assert_snapshot!(told(&history.judged_by(judge)), @r"
        inconclusive: nothing was computed again, so no value is known to be right
        - chunk 00007 was reported, and cannot be computed again: cannot start the kernel
        ");
        // Of a chunk that nobody reported, nothing else was to be expected.
        let history = History::of(exec_plan()).without_chunk("00007").with(99.0, failed("00007"));
        assert_snapshot!(told(&history.judged_by(judge)), @"inconclusive: nothing was computed again, so no value is known to be right");
    }

    #[test]
    fn the_chance_to_miss_is_that_of_drawing_without_putting_back() {
        assert_eq!(chance_to_miss(30, 100), 0.7);
        assert_eq!(chance_to_miss(99, 100), 0.01);
        let two_of_200 = (100.0 / 200.0) * (99.0 / 199.0);
        assert!((chance_to_miss(100, 200) - two_of_200).abs() < 1e-15);
        assert_eq!(chance_to_miss(199, 200), 0.0);
        assert_eq!(
            ["0 %", "12 %", "1.5 %", "2e-3 %"],
            [0.0, 0.12, 0.015, 2e-5].map(in_percent).map(|it| it.leak() as &str)
        );
    }
}
