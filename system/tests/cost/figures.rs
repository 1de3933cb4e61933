//! What was counted, and how it is held against what is agreed on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

/// Where they are.
const FILE: &str = "system/tests/cost/figures.yaml";

/// What was counted of a sweep, by what was done and what is counted: `work commands`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    chunks: u64,
    counts: BTreeMap<String, u64>,
}

impl Figures {
    /// What the counts rose by in each step.
    pub(crate) fn between<const N: usize>(
        steps: [&str; N],
        marks: &[Vec<(&'static str, u64)>],
        chunks: u64,
    ) -> Self {
        assert_eq!(marks.len(), N + 1, "a count before and after each step");
        let mut all = BTreeMap::new();
        for (step, counts) in steps.iter().zip(marks.windows(2)) {
            for ((name, before), (_, after)) in counts[0].iter().zip(&counts[1]) {
                all.insert(format!("{step} {name}"), after - before);
            }
        }
        Self { chunks, counts: all }
    }
}

fn few() -> f64 {
    5.0
}

/// What is agreed on, for one backend.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agreed {
    /// How much a count may differ, of itself.
    room: f64,
    figures: BTreeMap<String, Figure>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    per_chunk: f64,
    /// What a sweep costs by itself, whatever its size.
    #[serde(default)]
    per_sweep: f64,
    /// How many more or fewer a sweep of any size may take: what goes by the clock may fall due in it.
    #[serde(default = "few")]
    by_clock: f64,
    /// What for.
    why: String,
}

/// What is agreed on for a backend.
pub(crate) fn committed(backend: &str) -> Agreed {
    let mut all: BTreeMap<String, Agreed> =
        serde_saphyr::from_str(include_str!("figures.yaml")).expect("figures.yaml can be read");
    all.remove(backend).unwrap_or_else(|| panic!("figures.yaml says nothing of {backend}"))
}

impl Agreed {
    /// What is not as it is agreed on. A cost that grows with the sweep fits sweeps of one size at most.
    pub(crate) fn complaints(&self, sweeps: &[Figures]) -> Vec<String> {
        let mut complaints: Vec<_> = sweeps.iter().flat_map(|seen| self.in_sweep(seen)).collect();
        let nobody_says = self.figures.iter().filter(|(_, figure)| figure.why.trim().is_empty());
        complaints.extend(nobody_says.map(|(name, _)| format!("{name}: nobody says what for")));
        complaints
    }

    fn in_sweep(&self, seen: &Figures) -> Vec<String> {
        let chunks = seen.chunks as f64;
        let mut complaints = Vec::new();
        for (name, count) in &seen.counts {
            let count = *count as f64;
            let Some(agreed) = self.figures.get(name) else {
                complaints.push(format!("{name}: {:.4}, and nothing is agreed on", count / chunks));
                continue;
            };
            let expected = agreed.per_chunk * chunks + agreed.per_sweep;
            if (count - expected).abs() > self.room * expected + agreed.by_clock {
                complaints.push(format!(
                    "{name}: {count} in {chunks} chunks, and {expected:.0} are agreed on ({:+.1} %)",
                    (count / expected - 1.0) * 100.0
                ));
            }
        }
        let unseen = self.figures.keys().filter(|name| !seen.counts.contains_key(*name));
        complaints.extend(unseen.map(|name| format!("{name}: is agreed on, and not counted")));
        complaints
    }
}

/// For whoever reads why a test failed.
pub(crate) fn explained(backend: &str, complaints: &[String], sweeps: &[Figures]) -> String {
    let mut text = format!("a chunk does not cost what is agreed on ({backend}):\n");
    for complaint in complaints {
        let _ = writeln!(text, "  {complaint}");
    }
    let _ = writeln!(text, "if that is meant, say so and why in {FILE}; all that was counted:");
    for Figures { chunks, counts } in sweeps {
        let _ = writeln!(text, "  {chunks} chunks: {counts:?}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: u64, commands: u64) -> Figures {
        Figures { chunks, counts: BTreeMap::from([("work commands".to_owned(), commands)]) }
    }

    /// Five for each chunk, and twenty.
    fn agreed() -> Agreed {
        let why = "one for each".to_owned();
        let figure = Figure { per_chunk: 5.0, per_sweep: 20.0, by_clock: few(), why };
        let figures = BTreeMap::from([("work commands".to_owned(), figure)]);
        Agreed { room: 0.03, figures }
    }

    #[test]
    fn what_is_agreed_on_is_left_alone() {
        assert!(agreed().complaints(&[of(100, 520), of(1000, 5_020)]).is_empty());
        assert!(agreed().complaints(&[of(100, 530), of(1000, 4_900)]).is_empty());
    }

    #[test]
    fn one_command_more_is_seen() {
        let complaints = agreed().complaints(&[of(1000, 6_020)]);
        let seen = "work commands: 6020 in 1000 chunks, and 5020 are agreed on (+19.9 %)";
        assert_eq!(complaints, [seen]);
    }

    #[test]
    fn one_command_fewer_is_seen_and_the_figure_follows() {
        assert_eq!(agreed().complaints(&[of(1000, 4_020)]).len(), 1);
    }

    #[test]
    fn a_cost_that_grows_with_the_sweep_is_seen() {
        assert_eq!(agreed().complaints(&[of(1000, 5_020), of(4000, 24_000)]).len(), 1);
    }

    #[test]
    fn a_cost_that_nobody_gives_a_reason_for_is_seen() {
        let mut agreed = agreed();
        agreed.figures.get_mut("work commands").unwrap().why.clear();
        assert_eq!(agreed.complaints(&[of(1000, 5_020)]).len(), 1);
    }

    #[test]
    fn what_is_counted_and_what_is_agreed_on_are_the_same_things() {
        let none = Figures { chunks: 1000, counts: BTreeMap::new() };
        assert_eq!(agreed().complaints(&[none]).len(), 1);
        let counts = BTreeMap::from([("work bytes".to_owned(), 1)]);
        assert_eq!(agreed().complaints(&[Figures { chunks: 1000, counts }]).len(), 2);
    }

    #[test]
    fn counts_are_what_they_rose_by() {
        let marks = [vec![("commands", 10)], vec![("commands", 30)], vec![("commands", 35)]];
        let seen = Figures::between(["submit", "work"], &marks, 10);
        let counts = [("submit commands".to_owned(), 20), ("work commands".to_owned(), 5)];
        assert_eq!(seen, Figures { chunks: 10, counts: BTreeMap::from(counts) });
    }
}
