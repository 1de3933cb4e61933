//! What a run came to: figures, findings and the verdict, made from the plan and the history
//! alone, so that `harness check` comes to the same as the run itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::check::{
    Finding, Recovery, efficiency_share, judge_all, never_triggered, panic_message, proof,
    throughput_per_second,
};
use crate::facts::{Depths, Facts, Ranges, first_ranges};
use crate::history::{EndReason, Record};
use crate::ideal::ideal_s;
use crate::plan::{Backend, Environment, Plan, PlannedFault, SCHEMA_VERSION};
use crate::verdict::Verdict;
use crate::why::why;
use crate::words::quoted;

/// Name of the file that holds them in a run directory.
pub const FILE_NAME: &str = "results.json";

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of the files in a run directory.
    pub schema_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// How chunks reached workers.
    pub backend: Backend,
    /// Where processes ran.
    pub environment: Environment,
    /// Why there.
    #[serde(default)]
    pub environment_because: String,
    /// On a cluster: which, its version, and its nodes, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// On a cluster: the broker, where it was, and where it had its data, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// The one seed of every random choice.
    pub seed: u64,
    /// Pass, inconclusive or fail.
    pub verdict: Verdict,
    /// Why the run did not pass, in one line: the cause, before its symptoms.
    #[serde(default)]
    pub why: Option<String>,
    /// The findings that the verdict rests on, the gravest first, each in one line; none for a
    /// pass.
    pub reasons: Vec<String>,
    /// Why the harness stopped watching, where that is recorded.
    pub ended: Option<EndReason>,
    /// Parameters in the sweep.
    pub params: u64,
    /// Chunks in the sweep.
    pub chunks: u64,
    /// Chunks that each worker committed, as the first to do so.
    pub workers: BTreeMap<String, u64>,
    /// Seconds from the first task submitted to the last result committed.
    pub wall_s: Option<f64>,
    /// The ideal time, in seconds.
    pub ideal_s: Option<f64>,
    /// Ideal time ÷ wall time.
    pub efficiency: Option<f64>,
    /// Parameters committed per second of wall time.
    pub throughput_params_per_s: Option<f64>,
    /// What became of parameters that did not simply count once.
    pub coverage: CoverageFigures,
    /// How much was in each queue when the sweep was over.
    #[serde(default)]
    pub queues: Option<Depths>,
    /// Attempts that failed and were made again, where that is known.
    #[serde(default)]
    pub retried: Option<u64>,
    /// Deliveries beyond the first of each chunk, where the broker counts them.
    pub redelivered: Option<u64>,
    /// Results that the aggregator left out as duplicates.
    pub duplicates_removed: Option<u64>,
    /// How long chunks of struck workers were without one.
    pub recovery_ms: Recovery,
    /// Faults as they were carried out; one that was never triggered is there too.
    pub faults: Vec<FaultFigures>,
    /// What the system's own aggregator reported.
    pub aggregate: Option<AggregateFigures>,
    /// What every check came to.
    pub findings: Vec<Finding>,
}

/// Parameters that did not simply count once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageFigures {
    /// Neither committed nor in the dead letters.
    pub missing: Ranges,
    /// Committed more than once.
    pub duplicated: Ranges,
    /// Reported, and not of this sweep.
    pub unexpected: Ranges,
    /// Reported with a value that the kernel does not yield.
    pub wrong_value: Ranges,
    /// In the dead letters.
    pub dead_lettered: Ranges,
}

/// A fault, as it was carried out on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultFigures {
    /// Its name in the plan.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The process that it struck, if it struck one.
    pub target: Option<String>,
    /// Seconds since the run began.
    pub at_s: Option<f64>,
    /// Whether it was proved to have taken effect, and on something that mattered.
    pub bit: bool,
    /// The proof, or why there is none.
    pub proof: String,
}

/// What the system's own aggregator reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateFigures {
    /// Grand sum.
    pub sum: f64,
    /// Parameters counted.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean value.
    pub avg: f64,
}

/// Makes results of a plan and a history, event by event.
#[derive(Debug)]
pub struct Judge {
    plan: Plan,
    facts: Facts,
}

impl Judge {
    /// For a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), facts: Facts::new(plan) }
    }

    /// Takes one event in.
    pub fn observe(&mut self, record: &Record) {
        let facts = &mut self.facts;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| facts.observe(record))) {
            let said = quoted(panic_message(&*panic));
            self.history_flawed(format!("an event crashed the judge, a defect of ours: {said}"));
        }
    }

    /// The history cannot be relied on, for this reason: the run cannot pass any more.
    pub fn history_flawed(&mut self, reason: impl Into<String>) {
        self.facts.flaw.get_or_insert(reason.into());
    }

    /// The history that was read back does not prove itself, for this reason. What it shows to be
    /// wrong is wrong all the same.
    pub fn history_unsealed(&mut self, reason: impl Into<String>) {
        self.facts.unsealed.get_or_insert(reason.into());
    }

    /// The machine lacks what the run needs: what fails from now on may be no fault of the system.
    pub fn machine_lacks(&mut self, what: impl Into<String>) {
        self.facts.lack.get_or_insert(what.into());
    }

    /// What the run comes to, as far as it was observed.
    pub fn conclude(&self) -> Results {
        let (plan, facts) = (&self.plan, &self.facts);
        let findings = judge_all(plan, facts);
        let ledger = &facts.ledger;
        let missing = ledger.missing();
        Results {
            schema_version: SCHEMA_VERSION,
            scenario: plan.scenario.clone(),
            backend: plan.backend,
            environment: plan.environment,
            environment_because: plan.environment_because.clone(),
            cluster: facts.cluster.as_ref().map(|(cluster, _)| cluster.clone()),
            broker: facts.cluster.as_ref().and_then(|(_, broker)| broker.clone()),
            seed: plan.seed,
            verdict: verdict(&findings),
            why: why(plan, facts, &findings),
            reasons: reasons(&findings),
            ended: facts.ended.map(|(_, why)| why),
            params: plan.sweep.params(),
            chunks: plan.sweep.chunks(),
            workers: workers(plan, facts),
            wall_s: facts.wall_s().map(rounded),
            ideal_s: ideal_s(plan, facts).map(rounded),
            efficiency: efficiency_share(plan, facts).map(rounded),
            throughput_params_per_s: throughput_per_second(facts).map(rounded),
            coverage: CoverageFigures {
                missing: Ranges { count: missing.len(), ranges: first_ranges(&missing) },
                duplicated: ledger.duplicated.ranges(),
                unexpected: ledger.unexpected.ranges(),
                wrong_value: ledger.wrong_value.ranges(),
                dead_lettered: ledger.dead_lettered.ranges(),
            },
            queues: facts.depths,
            retried: facts.retried,
            redelivered: facts.redelivered,
            duplicates_removed: facts.aggregate.as_ref().map(|it| it.duplicates_removed),
            recovery_ms: Recovery::of(facts),
            faults: faults(plan, facts),
            aggregate: facts.aggregate.as_ref().map(|it| AggregateFigures {
                sum: it.sum,
                count: it.count,
                min: it.min,
                max: it.max,
                avg: it.avg,
            }),
            findings,
        }
    }
}

impl Results {
    /// Adds what was found besides.
    #[must_use]
    pub fn and(mut self, finding: Finding) -> Self {
        if finding.verdict > self.verdict {
            self.why = Some(finding.summary.clone());
        }
        self.findings.push(finding);
        self.verdict = verdict(&self.findings);
        self.reasons = reasons(&self.findings);
        self
    }
}

fn verdict(findings: &[Finding]) -> Verdict {
    Verdict::gravest(findings.iter().map(|finding| finding.verdict))
}

/// Figures are for reading: beyond a ten-thousandth there is only noise.
fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}

fn reasons(findings: &[Finding]) -> Vec<String> {
    let mut grave: Vec<&Finding> =
        findings.iter().filter(|finding| finding.verdict.is_grave()).collect();
    grave.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    grave.iter().map(|finding| format!("{}: {}", finding.check, finding.summary)).collect()
}

fn workers(plan: &Plan, facts: &Facts) -> BTreeMap<String, u64> {
    let planned = (0..plan.workers).map(|number| (format!("worker-{number}"), 0));
    let seen = facts.ledger.workers().map(|(worker, chunks)| (worker.to_owned(), chunks));
    planned.chain(seen).collect()
}

fn faults(plan: &Plan, facts: &Facts) -> Vec<FaultFigures> {
    let struck = facts.strikes.iter().map(|strike| {
        let (bit, proof) = proof(plan, facts, strike);
        FaultFigures {
            name: strike.fault.clone(),
            kind: strike.kind.clone(),
            target: Some(strike.target.clone()),
            at_s: Some(rounded(strike.t_s)),
            bit,
            proof,
        }
    });
    let never =
        |fault: &&PlannedFault| !facts.strikes.iter().any(|strike| fault.owns(&strike.fault));
    let left = plan.faults.iter().filter(never).map(|fault| FaultFigures {
        name: fault.name.clone(),
        kind: fault.kind.name(),
        target: None,
        at_s: None,
        bit: false,
        proof: never_triggered(fault),
    });
    struck.chain(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use crate::history::Event;

    #[test]
    fn results_read_back_as_they_were_written() {
        let results = judged(&History::of(plan_with_kill()).without_chunk("00031"));
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }

    #[test]
    fn a_failure_outranks_what_is_inconclusive_and_comes_first() {
        let history = History::of(plan_with_kill())
            .without(|event| matches!(event, Event::FaultInjected { .. }))
            .with(40.0, Event::Resubmitted { chunk_id: "00001".into(), times: 2 });
        let results = judged(&history);
        assert_eq!(results.verdict, Verdict::Fail);
        insta::assert_snapshot!(results.reasons.join("\n"), @r"
        submission: 1 chunk submitted other than once
        processes: 1 process ended badly, and no fault explains that; the run completed
        faults: 1 of 1 fault did not bite
        ");
    }

    #[test]
    fn a_fault_that_never_struck_is_among_the_faults() {
        let history = History::of(plan_with_kill())
            .without(|event| matches!(event, Event::FaultInjected { .. }));
        let faults = judged(&history).faults;
        assert_eq!((faults.len(), faults[0].bit, faults[0].target.as_deref()), (1, false, None));
    }

    #[test]
    fn a_worker_that_committed_nothing_is_listed_with_zero() {
        let mut plan = plan();
        plan.workers = 4;
        let mut history = History::of(self::plan());
        history.plan = plan;
        assert_eq!(judged(&history).workers["worker-3"], 0);
    }

    #[test]
    fn a_flaw_reported_while_the_run_goes_on_is_inconclusive() {
        let history = History::of(plan());
        let mut judge = Judge::new(&history.plan);
        judge.history_flawed("no space left");
        history.records.iter().for_each(|record| judge.observe(record));
        assert_eq!(judge.conclude().verdict, Verdict::Inconclusive);
    }

    #[test]
    fn an_event_that_crashes_the_judge_is_inconclusive() {
        let history = History::of(plan());
        let mut broken = history.plan.clone();
        broken.sweep.chunk_size = 0;
        let mut judge = Judge::new(&broken);
        history.records.iter().for_each(|record| judge.observe(record));
        assert!(judge.facts.flaw.is_some());
    }
}
