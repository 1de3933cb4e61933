//! Judging a run directory again, from its plan and its history alone; what the run itself said, in
//! `results.json`, is compared.
//!
//! The verdict is never better than before, whatever was done to a line of the history:
//!
//! - A history whose seal does not hold, or that contradicts itself, is at best inconclusive.
//! - What its records show to be wrong is wrong all the same: a broken seal takes no failure back.
//! - Of the verdict that the history gives and the one that `results.json` holds, the graver counts.
//!   So a failing run stays one when the record of its failure is taken out.
//! - A line that is no event, or a plan that is none, is refused: there is no verdict at all.
//!
//! `results.json` itself is not sealed. Where it says something else than the history, or is not
//! there, that is told; it can make a verdict graver, never better.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::check::Finding;
use crate::history::{self, ReadError};
use crate::plan::{MAX_CHUNKS, Plan, SCHEMA_VERSION};
use crate::results::{self, Judge, Results};
use crate::verdict::Verdict;
use crate::words::{FirstLines, quoted, quoted_to};

/// Where it is said why there is no verdict, where there is none.
pub const NO_VERDICT: &str = "no-verdict.txt";

/// What a run directory comes to.
#[derive(Debug, Clone)]
pub struct Rechecked {
    /// The plan.
    pub plan: Plan,
    /// What the history gives; the verdict is the recorded one where that is graver.
    pub results: Results,
    /// Where `results.json` says something else, one line each.
    pub differences: Vec<String>,
}

/// A run directory cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// There is no plan to be read.
    #[error(
        "cannot read {}: {source}; name a directory that `harness run` wrote", path.display()
    )]
    Plan {
        /// The plan's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The plan is not one of ours.
    #[error(
        "{}: not a plan ({problem}); the file was changed or is of another version", path.display()
    )]
    NotAPlan {
        /// The plan's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The directory is another version's.
    #[error(
        "{}: the run directory is of version {version}, and this harness reads version \
         {SCHEMA_VERSION}; check it with the harness that wrote it, or run the scenario again",
        path.display()
    )]
    Version {
        /// The plan's file.
        path: PathBuf,
        /// The version.
        version: u64,
    },
    /// The run never began.
    #[error("{}: the run never began, so there is nothing to judge: {why}", directory.display())]
    NeverBegan {
        /// The run's directory.
        directory: PathBuf,
        /// What the run said.
        why: String,
    },
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] ReadError),
}

/// Judges a run directory again.
///
/// # Errors
/// Where its plan or its history cannot be read.
pub fn judge_directory(directory: &Path) -> Result<Rechecked, JudgeError> {
    let (text, plan) = read_plan(&directory.join(Plan::FILE_NAME))?;
    if let Some(why) = never_began(directory) {
        return Err(JudgeError::NeverBegan { directory: directory.to_path_buf(), why });
    }
    let mut judge = Judge::new(&plan);
    let mut reader = history::read(&directory.join(history::FILE_NAME))?.sealed_with(&text);
    for record in reader.by_ref() {
        judge.observe(&record?);
    }
    if reader.truncated() {
        judge.history_flawed("the last line of the history was cut off in the middle");
    }
    if let Some(reason) = reader.unsealed() {
        judge.history_unsealed(reason);
    }
    let results = judge.conclude();
    let (recorded, differences) = compare(&directory.join(results::FILE_NAME), &results);
    let results = with_recorded(results, recorded);
    Ok(Rechecked { plan, results, differences })
}

/// What a run said that has no history, if it said anything.
fn never_began(directory: &Path) -> Option<String> {
    /// A sentence or two.
    const LONGEST: u64 = 64 << 10;
    let history = std::fs::metadata(directory.join(history::FILE_NAME));
    if history.is_ok_and(|history| history.len() > 0) {
        return None;
    }
    let mut why = String::new();
    let said = std::fs::File::open(directory.join(NO_VERDICT)).ok()?;
    said.take(LONGEST).read_to_string(&mut why).ok()?;
    Some(why.trim_end().to_owned())
}

/// The plan's file, and what it says.
fn read_plan(path: &Path) -> Result<(Vec<u8>, Plan), JudgeError> {
    /// All that a plan of another version has to have in common.
    #[derive(Deserialize)]
    struct Version {
        schema_version: u64,
    }
    let text = std::fs::read(path)
        .map_err(|source| JudgeError::Plan { path: path.to_path_buf(), source })?;
    let not_a_plan = |problem: String| JudgeError::NotAPlan { path: path.to_path_buf(), problem };
    let invalid = |error: serde_json::Error| not_a_plan(error.to_string());
    let Version { schema_version: version } = serde_json::from_slice(&text).map_err(invalid)?;
    if version != u64::from(SCHEMA_VERSION) {
        return Err(JudgeError::Version { path: path.to_path_buf(), version });
    }
    let plan: Plan = serde_json::from_slice(&text).map_err(invalid)?;
    let sweep = &plan.sweep;
    let possible = sweep.start <= sweep.end
        && sweep.chunk_size > 0
        // Whoever judges keeps something for each.
        && (sweep.end - sweep.start).div_ceil(sweep.chunk_size) <= MAX_CHUNKS;
    if !possible || sweep.end.checked_add(sweep.chunk_size).is_none() {
        return Err(not_a_plan("a sweep that cannot be cut into chunks".into()));
    }
    if let Some(fault) = plan.unknown_fault() {
        let (name, kind) = (quoted(&fault.name), fault.kind.name());
        return Err(not_a_plan(format!("fault {name}, of whose kind ({kind}) it says nothing")));
    }
    Ok((text, plan))
}

/// The verdict of a run counts where it is graver than the one that its history gives.
fn with_recorded(results: Results, recorded: Option<Verdict>) -> Results {
    let Some(recorded) = recorded.filter(|recorded| *recorded > results.verdict) else {
        return results;
    };
    let (file, gives) = (results::FILE_NAME, results.verdict);
    results.and(Finding {
        check: "recorded".into(),
        verdict: recorded,
        summary: format!(
            "{file} says {recorded}, and the history gives {gives}: one of them was changed after \
             the run, or judged by another version"
        ),
        evidence: Vec::new(),
    })
}

/// The verdict that is recorded, and where the file says something else than the results.
fn compare(path: &Path, results: &Results) -> (Option<Verdict>, Vec<String>) {
    let file = results::FILE_NAME;
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            let line = format!("{file} cannot be read: {error}; what the run said is not known");
            return (None, vec![line]);
        }
    };
    let read = serde_json::from_slice::<Value>(&text);
    let (recorded, given) = match (read, serde_json::to_value(results)) {
        (Ok(recorded), Ok(given)) => (recorded, given),
        (Err(error), _) | (_, Err(error)) => {
            return (None, vec![format!("{file} is not a result: {error}")]);
        }
    };
    let verdict = recorded.get("verdict").and_then(|it| Verdict::deserialize(it).ok());
    let mut lines = FirstLines::default();
    // The verdict first, so that it is never among those that are only counted.
    let is_told = if verdict == Some(results.verdict) { "" } else { "verdict" };
    if !is_told.is_empty() {
        lines.push(|| difference(is_told, recorded.get(is_told), given.get(is_told)));
    }
    differ("", &recorded, &given, &mut |place, recorded, given| {
        if place != is_told {
            lines.push(|| difference(place, recorded, given));
        }
    });
    (verdict, lines.lines())
}

/// Is told of a place where two values differ, and of what is there in each.
type Found<'a> = dyn FnMut(&str, Option<&Value>, Option<&Value>) + 'a;

/// Finds where two values differ, by the path of the place.
fn differ(place: &str, recorded: &Value, given: &Value, found: &mut Found<'_>) {
    match (recorded, given) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            for key in keys {
                let below = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                both(&below, one.get(key), other.get(key), found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for at in 0..one.len().max(other.len()) {
                both(&format!("{place}[{at}]"), one.get(at), other.get(at), found);
            }
        }
        _ if recorded == given => {}
        _ => found(place, Some(recorded), Some(given)),
    }
}

fn both(place: &str, recorded: Option<&Value>, given: Option<&Value>, found: &mut Found<'_>) {
    match (recorded, given) {
        (Some(recorded), Some(given)) => differ(place, recorded, given, found),
        (recorded, given) => found(place, recorded, given),
    }
}

fn difference(place: &str, recorded: Option<&Value>, given: Option<&Value>) -> String {
    /// Longest value that is quoted, in characters.
    const LONG: usize = 80;
    let word = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => quoted_to(text, LONG),
        Some(other) => quoted_to(&other.to_string(), LONG),
    };
    let (place, recorded, given) = (quoted(place), word(recorded), word(given));
    format!("{} says {place} {recorded}, the history gives {given}", results::FILE_NAME)
}

#[cfg(test)]
mod tampering;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use crate::history::Event;

    /// Changes a file of a run directory, as text.
    fn change(dir: &tempfile::TempDir, name: &str, change: impl FnOnce(String) -> String) {
        let path = dir.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(text)).unwrap();
    }

    fn rechecked(dir: &tempfile::TempDir) -> Rechecked {
        judge_directory(dir.path()).unwrap()
    }

    fn refusal(dir: &tempfile::TempDir) -> String {
        judge_directory(dir.path()).unwrap_err().to_string()
    }

    /// A history that fails, by one record alone.
    fn failing() -> History {
        History::of(plan()).with(34.0, Event::Resubmitted { chunk_id: "00001".into(), times: 2 })
    }

    #[test]
    fn the_files_alone_yield_what_the_run_yielded() {
        let spoilt = History::of(plan_with_kill())
            .without_chunk("00031")
            .spoil_result("00003", |result| result.sum += 0.01);
        for history in [History::of(plan_with_kill()), spoilt] {
            let Rechecked { plan, results, differences } = rechecked(&history.written());
            assert_eq!((&plan, &results), (&history.plan, &judged(&history)));
            assert_eq!(differences, Vec::<String>::new());
        }
    }

    #[test]
    fn a_history_that_was_cut_off_is_inconclusive() {
        let dir = History::of(plan()).written();
        change(&dir, history::FILE_NAME, |text| text[..text.len() - 90].into());
        let results = rechecked(&dir).results;
        assert_eq!(results.verdict, Verdict::Inconclusive, "{:?}", results.reasons);
    }

    #[test]
    fn a_history_or_a_plan_that_was_changed_without_a_trace_is_inconclusive() {
        let dir = History::of(plan()).written();
        change(&dir, history::FILE_NAME, |text| text.replace("redis-server 8.2", "redis-server 8"));
        let results = rechecked(&dir).results;
        insta::assert_snapshot!(results.reasons.join("\n"), @"history: the history does not prove itself");
        let dir = History::of(plan()).written();
        change(&dir, Plan::FILE_NAME, |text| text.replace("\"seed\": 42", "\"seed\": 43"));
        let results = rechecked(&dir).results;
        insta::assert_snapshot!(results.reasons.join("\n"), @"history: the history does not prove itself");
    }

    #[test]
    fn a_failure_stays_one_when_its_record_is_taken_out() {
        let dir = failing().written();
        assert_eq!(rechecked(&dir).results.verdict, Verdict::Fail);
        change(&dir, history::FILE_NAME, |text| {
            let is_kept = |line: &&str| !line.contains("resubmitted");
            text.split_inclusive('\n').filter(is_kept).collect()
        });
        let Rechecked { results, differences, .. } = rechecked(&dir);
        assert_eq!(results.verdict, Verdict::Fail);
        insta::assert_snapshot!(results.reasons.join("\n"), @r"
        recorded: results.json says fail, and the history gives inconclusive: one of them was changed after the run, or judged by another version
        history: the history does not prove itself
        ");
        assert_eq!(
            differences[0],
            "results.json says verdict fail, the history gives inconclusive"
        );
        std::fs::remove_file(dir.path().join(results::FILE_NAME)).unwrap();
        assert_eq!(rechecked(&dir).results.verdict, Verdict::Inconclusive, "never a pass");
    }

    #[test]
    fn results_that_say_something_else_are_told_of_and_make_nothing_better() {
        let dir = failing().written();
        change(&dir, results::FILE_NAME, |text| {
            text.replace("\"fail\"", "\"pass\"").replace("\"seed\": 42,", "")
        });
        let Rechecked { results, differences, .. } = rechecked(&dir);
        assert_eq!(results.verdict, Verdict::Fail);
        insta::assert_snapshot!(differences.join("\n"), @r"
        results.json says verdict pass, the history gives fail
        results.json says findings[6].verdict pass, the history gives fail
        results.json says seed nothing, the history gives 42
        ");
    }

    #[test]
    fn results_that_are_not_there_or_none_are_told_of() {
        let dir = History::of(plan()).written();
        change(&dir, results::FILE_NAME, |_| "what".into());
        let Rechecked { results, differences, .. } = rechecked(&dir);
        assert_eq!(results.verdict, Verdict::Pass);
        assert!(differences[0].starts_with("results.json is not a result: "), "{differences:?}");
        std::fs::remove_file(dir.path().join(results::FILE_NAME)).unwrap();
        let Rechecked { results, differences, .. } = rechecked(&dir);
        assert_eq!(results.verdict, Verdict::Pass);
        assert!(differences[0].starts_with("results.json cannot be read: "), "{differences:?}");
    }

    #[test]
    fn a_directory_without_a_plan_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = judge_directory(dir.path()).unwrap_err();
        assert!(matches!(error, JudgeError::Plan { .. }), "{error}");
    }

    #[test]
    fn a_plan_that_says_nothing_of_a_kind_of_its_faults_is_refused() {
        let dir = History::of(plan_with_kill()).written();
        change(&dir, Plan::FILE_NAME, |text| text.replacen("\"kill\":", "\"kills\":", 1));
        let said = refusal(&dir);
        assert!(said.contains("fault kill-1, of whose kind (kill) it says nothing"), "{said}");
    }

    #[test]
    fn a_plan_of_another_version_is_refused_whatever_else_it_holds() {
        let dir = History::of(plan()).written();
        change(&dir, Plan::FILE_NAME, |_| "{ \"schema_version\": 1, \"other\": 7 }".into());
        let said = refusal(&dir);
        assert!(said.contains("is of version 1, and this harness reads version 3"), "{said}");
    }

    #[test]
    fn a_plan_without_chunks_or_with_a_field_that_is_not_known_is_refused() {
        for (from, to, said) in [
            ("\"chunk_size\": 10", "\"chunk_size\": 0", "cut into chunks"),
            ("\"chunk_size\": 10", "\"chunk_size\": 10, \"colour\": 1", "unknown field `colour`"),
            ("\"seed\": 42", "\"seed\": 42, \"lenient\": true", "unknown field `lenient`"),
            ("\"work_ms\": 100.0", "\"work_ms\": 100.0, \"x\": 1", "unknown field `x`"),
        ] {
            let dir = History::of(plan_with_kill()).written();
            change(&dir, Plan::FILE_NAME, |text| text.replacen(from, to, 1));
            let error = refusal(&dir);
            assert!(error.contains(said), "{error}");
        }
    }
}
