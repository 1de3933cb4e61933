//! What people and programs read of a run, one file per form.

mod durability;
mod html;
pub mod json;
pub mod junit;
pub mod markdown;
mod news;
pub mod progress;
mod state;
pub mod summary;
pub mod terminal;
mod timeline;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::check::{COVERAGE, Finding};
use crate::history::{self, ReadError};
use crate::last_words::GOES_ON;
use crate::plan::{Backend, Kernel, Plan};
use crate::results::{self, FaultFigures, Results};
use crate::verdict::Verdict;
use crate::words::{counted, millis, quoted, quoted_to, seconds};
use timeline::Timeline;

/// A report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write {}: {source}; make room or choose another run directory", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The history, of which the timeline is drawn, cannot be read.
    #[error(transparent)]
    History(#[from] ReadError),
}

/// Writes every file that is made of results into a run directory: `results.json` first, then
/// `report.md`, `report.html` and `junit.xml`. The history at `events` is read for the timeline.
pub fn write_all(
    directory: &Path,
    plan: &Plan,
    results: &Results,
    events: &Path,
) -> Result<(), ReportError> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|source| ReportError::Write { path, source })
    };
    write(results::FILE_NAME, json::render(results))?;
    write("report.md", markdown::render(plan, results))?;
    write("junit.xml", junit::render(&[(plan, results)]))?;
    let mut timeline = Timeline::new(plan);
    for record in history::read(events)? {
        timeline.observe(&record?);
    }
    write("report.html", html::render(plan, results, &timeline))
}

/// What is to be said first: of a pass, that every parameter counts; else what it is due to, the
/// gravest first.
fn telling(results: &Results) -> Vec<&Finding> {
    if results.verdict == Verdict::Pass {
        let is_coverage = |finding: &&Finding| finding.check == COVERAGE;
        return results.findings.iter().filter(is_coverage).collect();
    }
    let grave = results.findings.iter().filter(|finding| finding.verdict.is_grave());
    let mut grave: Vec<&Finding> = grave.collect();
    grave.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    grave
}

/// Whether somebody may take chunks over without telling: on RabbitMQ the server tells.
fn tells_nobody(plan: &Plan) -> bool {
    plan.foreign.is_some() && matches!(plan.backend, Backend::Redis | Backend::Embedded)
}

/// A line of evidence, and the lines that go on with it.
struct Evidence<'a> {
    line: &'a str,
    below: Vec<&'a str>,
}

/// Evidence, with whatever goes on in further lines below the line that it belongs to.
fn evidence(finding: &Finding) -> Vec<Evidence<'_>> {
    let mut entries: Vec<Evidence<'_>> = Vec::new();
    for line in &finding.evidence {
        match (line.strip_prefix(GOES_ON), entries.last_mut()) {
            (Some(line), Some(entry)) => entry.below.push(line),
            _ => entries.push(Evidence { line, below: Vec::new() }),
        }
    }
    entries
}

/// Checks of which nothing is expected, or that have nothing to judge.
fn not_judged(results: &Results) -> impl Iterator<Item = &Finding> {
    results.findings.iter().filter(|finding| finding.verdict == Verdict::NotJudged)
}

/// Longest figure that is a text, in characters.
const LONG: usize = 400;

/// The figures of a run, each with its name, as every report shows them.
fn figures(plan: &Plan, results: &Results) -> Vec<(&'static str, String)> {
    let workers = counted(plan.workers.into(), "worker");
    let (params, chunks) = (counted(results.params, "parameter"), counted(results.chunks, "chunk"));
    let mut figures = vec![
        ("sweep", format!("{params} in {chunks}, {} backend, {workers}", results.backend)),
        ("wall time", wall_time(results)),
        ("throughput", results.throughput_params_per_s.map_or_else(unknown, throughput)),
        ("recovery", recovery(results)),
    ];
    if !results.environment_because.is_empty() {
        let (where_, why) = (results.environment, quoted(&results.environment_because));
        figures.insert(1, ("environment", format!("{where_} ({why})")));
    }
    figures.extend(results.cluster.as_ref().map(|it| ("cluster", quoted_to(it, LONG))));
    figures.extend(results.broker.as_ref().map(|it| ("broker", quoted_to(it, LONG))));
    figures.extend(durability::permits(plan).map(|permits| ("durability", permits)));
    if results.redelivered.is_none() && tells_nobody(plan) {
        let who = "not known: a foreign worker tells nobody what it takes over";
        figures.push(("redelivered", who.to_owned()));
    }
    if let Some(deliveries) = results.redelivered {
        let removed = results.duplicates_removed;
        let removed = removed.map_or_else(String::new, |removed| {
            format!(", {} removed", counted(removed, "duplicate result"))
        });
        figures.push(("redelivered", format!("{}{removed}", times(deliveries))));
    }
    if let Some(retried @ 1..) = results.retried {
        figures.push(("retried", counted(retried, "attempt")));
    }
    if let Some(aggregate) = &results.aggregate {
        let count = counted(aggregate.count, "parameter");
        figures.push(("aggregate", format!("sum {} over {count}", aggregate.sum)));
    }
    if plan.coordinator.is_none() {
        figures.push(("submission", "submitted by the harness".to_owned()));
    }
    if plan.aggregator.is_none() {
        let finding = results.findings.iter().find(|finding| finding.check == "aggregate");
        let summed = finding.map_or_else(unknown, |finding| quoted_to(&finding.summary, LONG));
        figures.push(("aggregate", summed));
    }
    figures.extend(values(plan, results).map(|said| ("values", said)));
    if let Some(defect) = &plan.defect {
        figures.push(("defect", format!("{} (planted)", quoted(defect))));
    }
    figures.push(("seed", results.seed.to_string()));
    figures
}

/// What right values leave open, where that is not said above: whether they are of other parameters.
fn values(plan: &Plan, results: &Results) -> Option<String> {
    if let Kernel::Distinct { .. } = plan.sweep.kernel {
        return None;
    }
    let finding = results.findings.iter().find(|finding| finding.check == "values")?;
    (finding.verdict == Verdict::Pass).then(|| quoted_to(&finding.summary, LONG))
}

fn unknown() -> String {
    "not known".into()
}

fn throughput(per_second: f64) -> String {
    format!("{per_second:.1} parameters/s")
}

fn times(deliveries: u64) -> String {
    if deliveries == 0 {
        "nothing".into()
    } else {
        counted(deliveries, "delivery").replace("ys", "ies")
    }
}

fn wall_time(results: &Results) -> String {
    let Some(wall_s) = results.wall_s else {
        return unknown();
    };
    let ideal = results.ideal_s.map(|ideal_s| format!("ideal {}", seconds(ideal_s)));
    let efficiency = results.efficiency.map(|share| format!("efficiency {:.1} %", share * 100.0));
    let is_whole = results.coverage.missing.count == 0;
    let impossible = results.ideal_s.is_some_and(|ideal_s| is_whole && ideal_s > wall_s);
    let impossible = impossible.then(|| "more than it took, so the efficiency is not known".into());
    let beside: Vec<String> = ideal.into_iter().chain(efficiency.or(impossible)).collect();
    if beside.is_empty() {
        return seconds(wall_s);
    }
    format!("{} ({})", seconds(wall_s), beside.join(", "))
}

fn recovery(results: &Results) -> String {
    let recovery = &results.recovery_ms;
    match (recovery.p50, recovery.max) {
        (Some(p50), Some(max)) => {
            let chunks = counted(recovery.count, "chunk");
            format!("{chunks} taken over, p50 {}, max {}", millis(p50), millis(max))
        }
        _ => "no chunk was taken over".into(),
    }
}

/// A fault in words: what it did, to whom, when, and the proof.
fn fault(fault: &FaultFigures) -> String {
    let (kind, proof) = (quoted(&fault.kind), quoted(&fault.proof));
    let target = fault.target.as_deref().map(|target| format!(" {}", quoted(target)));
    let at = fault.at_s.map(|at_s| format!(" at {}", seconds(at_s)));
    let bite = if fault.bit { "" } else { ", did not bite" };
    format!("{kind}{}{}{bite}: {proof}", target.unwrap_or_default(), at.unwrap_or_default())
}

/// To standard output, coloured where it is a terminal. A reader that has seen enough, such as
/// `head`, is no reason to complain; that it cannot be written is, at the end: [`unsaid`].
pub fn say(text: std::fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        could_not_say(&error);
    }
    *said().lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
}

/// To standard error, if it can be written: what is only told on the way changes nothing.
pub fn tell(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Why something of what was said could not be written.
pub fn unsaid() -> Option<String> {
    UNSAID.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What was to be said is lost, unless nobody listens any more.
pub(crate) fn could_not_say(error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        let mut unsaid = UNSAID.lock().unwrap_or_else(PoisonError::into_inner);
        unsaid.get_or_insert_with(|| format!("cannot write to standard output: {error}"));
    }
}

static UNSAID: Mutex<Option<String>> = Mutex::new(None);

/// How long nothing has been said, at most since this was asked first.
pub(crate) fn silent_for() -> Duration {
    said().lock().unwrap_or_else(PoisonError::into_inner).elapsed()
}

/// When something was said last.
fn said() -> &'static Mutex<Instant> {
    static SAID: LazyLock<Mutex<Instant>> = LazyLock::new(|| Mutex::new(Instant::now()));
    &SAID
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::check::testing::History;

    pub(super) fn timeline(history: &History) -> Timeline {
        let mut timeline = Timeline::new(&history.plan);
        history.records.iter().for_each(|record| timeline.observe(record));
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan_with_kill};
    use crate::history::{Event, FILE_NAME};

    #[test]
    fn every_file_of_the_run_directory_is_written() {
        let history = History::of(plan_with_kill());
        let dir = history.written();
        let results = judged(&history);
        write_all(dir.path(), &history.plan, &results, &dir.path().join(FILE_NAME)).unwrap();
        for name in ["results.json", "report.md", "report.html", "junit.xml"] {
            assert!(dir.path().join(name).metadata().unwrap().len() > 100, "{name}");
        }
    }

    #[test]
    fn a_traceback_stays_lines_in_every_form_and_breaks_out_of_none() {
        let said = "Traceback (most recent call last):\n  File \"<x>\", line 1\n    ```import numpy\u{1b}[31m\nModuleNotFoundError: numpy";
        let crash = Event::ProcessExited {
            process: "worker-0".into(),
            pid: 7,
            code: Some(1),
            signal: None,
            said: Some(said.into()),
        };
        let history = History::of(plan_with_kill()).with(12.0, crash);
        let results = judged(&history);
        let of = |text: &str, from: &str, lines: usize| {
            let shown = text.lines().skip_while(|line| !line.contains(from));
            shown.take(lines).collect::<Vec<_>>().join("\n")
        };
        let terminal = terminal::render(&history.plan, &results);
        let terminal = anstream::adapter::strip_str(&terminal).to_string();
        insta::assert_snapshot!(of(&terminal, "- worker-0", 5), @r#"
                        - worker-0 exited with code 1 at 12.0 s, and said:
                            Traceback (most recent call last):
                              File "<x>", line 1
                                ```import numpy [31m
                            ModuleNotFoundError: numpy
        "#);
        let markdown = markdown::render(&history.plan, &results);
        insta::assert_snapshot!(of(&markdown, "- worker", 6), @r#"
        - worker-0 exited with code 1 at 12.0 s, and said:

              Traceback (most recent call last):
                File "<x>", line 1
                  ```import numpy [31m
              ModuleNotFoundError: numpy
        "#);
        let html = html::render(&history.plan, &results, &testing::timeline(&history));
        insta::assert_snapshot!(of(&html, "<li>worker-0", 4), @r"
        <li>worker-0 exited with code 1 at 12.0 s, and said:<pre>Traceback (most recent call last):
          File &quot;&lt;x&gt;&quot;, line 1
            ```import numpy [31m
        ModuleNotFoundError: numpy</pre></li>
        ");
        let junit = junit::render(&[(&history.plan, &results)]);
        insta::assert_snapshot!(of(&junit, "- worker-0", 3), @r"
        - worker-0 exited with code 1 at 12.0 s, and said:
            Traceback (most recent call last):
              File &quot;&lt;x&gt;&quot;, line 1
        ");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let history = History::of(plan_with_kill());
        let results = judged(&history);
        let nowhere = Path::new("/nonexistent");
        let error = write_all(nowhere, &history.plan, &results, nowhere).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /nonexistent/results.json: "));
    }
}
