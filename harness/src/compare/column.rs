//! All runs of one scenario, and their figures: of several, the median with minimum and maximum.

use crate::results::Results;
use crate::verdict::Verdict;

/// Runs of one scenario.
pub(super) struct Column<'a> {
    pub(super) runs: Vec<&'a Results>,
}

/// Median, minimum and maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// The columns of a table: those of its own scenarios, and one for each other scenario that was run.
pub(super) struct Columns<'a> {
    /// Scenario, heading, runs.
    pub(super) all: Vec<(&'a str, &'a str, Column<'a>)>,
    /// How many of them are the table's own.
    pub(super) own: usize,
}

impl<'a> Columns<'a> {
    /// Of the table's own `scenarios`, each with its heading, the first `always` are there whether they were
    /// run or not, once any was: a table of other runs alone has no column that says nothing.
    pub(super) fn of(
        scenarios: &[(&'static str, &'static str)],
        always: usize,
        results: &'a [Results],
    ) -> Self {
        let is_own = |name: &str| scenarios.iter().any(|(own, _)| *own == name);
        let any = results.iter().any(|run| is_own(&run.scenario));
        let columns = scenarios.iter().enumerate();
        let columns =
            columns.map(|(at, (name, heading))| (at, (*name, *heading, Column::of(name, results))));
        let shown =
            columns.filter(|(at, column)| (any && *at < always) || !column.2.runs.is_empty());
        let mut all: Vec<(&str, &str, Column<'_>)> = shown.map(|(_, column)| column).collect();
        let own = all.len();
        for run in results {
            let name = run.scenario.as_str();
            if !all.iter().any(|(known, ..)| *known == name) {
                all.push((name, name, Column::of(name, results)));
            }
        }
        Self { all, own }
    }

    /// The headings.
    pub(super) fn headings(&self) -> Vec<String> {
        self.all.iter().map(|(_, heading, _)| (*heading).to_owned()).collect()
    }

    /// A row.
    pub(super) fn row(
        &self,
        name: &str,
        cell: &dyn Fn(&Column<'_>) -> String,
    ) -> (String, Vec<String>) {
        (name.to_owned(), self.all.iter().map(|(_, _, column)| cell(column)).collect())
    }
}

impl<'a> Column<'a> {
    pub(super) fn of(scenario: &str, results: &'a [Results]) -> Self {
        Self { runs: results.iter().filter(|it| it.scenario == scenario).collect() }
    }

    /// Figures of runs that did not pass are no figures.
    pub(super) fn passed(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(|run| run.verdict == Verdict::Pass)
    }

    pub(super) fn verdict(&self) -> String {
        let passed = self.runs.iter().filter(|run| run.verdict == Verdict::Pass).count();
        match (self.runs.len(), passed) {
            (0, _) => "not run".to_owned(),
            (1, 1) => "pass".to_owned(),
            (all, passed) => format!("{passed} of {all} pass"),
        }
    }

    /// A figure of every run; nothing where one has none, or did not pass.
    pub(super) fn spread(&self, figure: impl Fn(&Results) -> Option<f64>) -> Option<Spread> {
        if !self.passed() {
            return None;
        }
        let figures: Option<Vec<f64>> = self.runs.iter().map(|run| figure(run)).collect();
        let mut figures = figures?;
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(figures[middle - 1], figures[middle])
        } else {
            figures[middle]
        };
        Some(Spread { median, min: figures[0], max: figures[figures.len() - 1] })
    }

    /// As it stands in a table.
    pub(super) fn tell(
        &self,
        figure: impl Fn(&Results) -> Option<f64>,
        write: impl Fn(f64) -> String + Copy,
    ) -> String {
        match self.spread(figure) {
            None => "-".to_owned(),
            Some(Spread { median, min, max }) => match [median, min, max].map(write) {
                [median, min, max] if median == min && median == max => median,
                [median, min, max] => format!("{median} ({min}-{max})"),
            },
        }
    }

    /// A word that follows from each run; nothing where they differ.
    pub(super) fn word(&self, word: impl Fn(&Results) -> &'static str) -> String {
        let mut words = self.runs.iter().map(|run| word(run));
        match words.next() {
            Some(first) if words.all(|other| other == first) => first.to_owned(),
            Some(_) => "differs".to_owned(),
            None => "-".to_owned(),
        }
    }

    /// Something that is counted: over all runs, because none may hide behind a median.
    pub(super) fn total(&self, count: impl Fn(&Results) -> Option<u64>) -> String {
        let counts: Option<u64> = self.runs.iter().map(|run| count(run)).sum();
        match counts {
            Some(counts) if !self.runs.is_empty() => counts.to_string(),
            _ => "-".to_owned(),
        }
    }
}
