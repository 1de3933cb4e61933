//! What several scenarios came to, told once all have been run: of each its verdict, why, where its report
//! is, and the line that brings it back.

use std::path::{Path, PathBuf};

use anstyle::Style;

use super::run_args::Args;
use crate::plan::Plan;
use crate::report::say;
use crate::report::terminal::{WIDTH, verdict_style, wrapped};
use crate::results::Results;
use crate::verdict::Verdict;
use crate::words::{counted, quoted_to};

/// Columns before what is said.
const LEFT: usize = 16;

/// Longest reason.
const REASON: usize = 300;

/// A scenario that was asked for.
pub(super) struct One<'a> {
    /// As it was typed.
    pub(super) said: &'a Path,
    pub(super) plan: &'a Plan,
    pub(super) came_to: CameTo<'a>,
}

/// What became of it.
pub(super) enum CameTo<'a> {
    Judged(&'a Results, PathBuf),
    /// It could not begin: why.
    NotBegun(String),
    /// What was before it ended the whole.
    NotRun,
}

impl One<'_> {
    fn verdict(&self) -> (Style, String) {
        match &self.came_to {
            CameTo::Judged(results, _) => {
                let verdict = results.verdict;
                (verdict_style(verdict), verdict.name().to_uppercase())
            }
            CameTo::NotBegun(_) => (verdict_style(Verdict::Inconclusive), "NOT BEGUN".to_owned()),
            CameTo::NotRun => (Style::new().dimmed(), "not run".to_owned()),
        }
    }

    fn reason(&self) -> Option<String> {
        let reason = match &self.came_to {
            CameTo::Judged(results, _) => results.why.as_ref().or(results.reasons.first())?,
            CameTo::NotBegun(why) => why,
            CameTo::NotRun => return None,
        };
        Some(quoted_to(reason, REASON))
    }
}

/// Tells them.
pub(super) fn tell(args: &Args, all: &[One<'_>]) {
    say(format_args!("{}", render(args, all)));
}

fn render(args: &Args, all: &[One<'_>]) -> String {
    let is_pass = |one: &&One<'_>| match &one.came_to {
        CameTo::Judged(results, _) => results.verdict == Verdict::Pass,
        _ => false,
    };
    let (passed, of) = (all.iter().filter(is_pass).count(), all.len() as u64);
    let mut text = format!("\n{passed} of {} passed\n\n", counted(of, "scenario"));
    for one in all {
        let (style, verdict) = one.verdict();
        let padding = " ".repeat((LEFT - 2).saturating_sub(verdict.chars().count()));
        text += &format!("  {style}{verdict}{style:#}{padding}{}\n", one.plan.scenario);
        if let Some(reason) = one.reason() {
            for line in wrapped(&reason, WIDTH - LEFT) {
                text += &format!("{:LEFT$}{line}\n", "");
            }
        }
        if let CameTo::Judged(_, directory) = &one.came_to {
            text += &format!("{:LEFT$}{}\n", "", directory.join("report.md").display());
        }
        if !matches!(one.came_to, CameTo::NotRun) {
            text += &format!("{:LEFT$}{}\n", "", again(args, one));
        }
    }
    text
}

/// The line that runs it again with the same seed.
fn again(args: &Args, one: &One<'_>) -> String {
    let mut words = vec!["harness".to_owned(), "run".to_owned(), one.said.display().to_string()];
    let mut flag = |name: &str, value: &dyn std::fmt::Display| {
        words.extend([format!("--{name}"), value.to_string()]);
    };
    flag("seed", &one.plan.seed);
    args.backend.iter().for_each(|it| flag("backend", it));
    args.environment.iter().for_each(|it| flag("environment", it));
    args.context.iter().for_each(|it| flag("context", it));
    args.namespace.iter().for_each(|it| flag("namespace", it));
    args.set.iter().for_each(|(key, value)| flag("set", &format!("{key}={value}")));
    if args.strict {
        words.push("--strict".to_owned());
    }
    words.iter().map(|word| for_a_shell(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
fn for_a_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn each_has_its_verdict_its_reason_its_report_and_the_line_that_repeats_it() {
        let words = ["run", "a.yaml", "b", "c", "--set", "sweep.kernel={work_ms: 1}", "--strict"];
        let Line { args } = Line::parse_from(words);
        let plan = plan();
        let results = judged(&History::of(plan.clone()));
        let directory = || PathBuf::from("runs/x/2026-11-28T20-00-00Z");
        let passed = Results { verdict: Verdict::Pass, why: None, reasons: Vec::new(), ..results };
        let why = Some("worker-1 ended by itself".to_owned());
        let failed = Results { verdict: Verdict::Fail, why, ..passed.clone() };
        let one = |at: usize, came_to| One { said: &args.scenarios[at], plan: &plan, came_to };
        let text = render(
            &args,
            &[
                one(0, CameTo::Judged(&passed, directory())),
                one(0, CameTo::Judged(&failed, directory())),
                one(1, CameTo::NotBegun("redis-server is not installed here".to_owned())),
                one(2, CameTo::NotRun),
            ],
        );
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string());
    }

    #[test]
    fn a_word_that_a_shell_would_change_is_quoted() {
        assert_eq!(for_a_shell("runs/a-b_c.yaml"), "runs/a-b_c.yaml");
        assert_eq!(for_a_shell("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(for_a_shell(""), "''");
    }
}
