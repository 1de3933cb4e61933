//! The final report on a terminal: the verdict and what it is due to, then the figures.

use anstyle::{AnsiColor, Style};

use super::{Evidence, LONG, evidence, fault, figures, not_judged, telling};
use crate::last_words::shown;
use crate::plan::Plan;
use crate::results::Results;
use crate::verdict::Verdict;
use crate::words::{quoted, quoted_to};

/// Columns that a report takes at most.
pub(crate) const WIDTH: usize = 80;
/// Columns of the names on the left, with the margin.
const LEFT: usize = 16;
/// Workers that are shown one by one.
const MOST_WORKERS: usize = 16;

/// What the reason of a verdict begins with.
const WHY: &str = "why:";

/// Strikes that are shown one by one.
const MOST_FAULTS: usize = 24;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Prints the report to standard output, in colour where that is wanted.
pub fn print(plan: &Plan, results: &Results) {
    super::say(format_args!("{}", render(plan, results)));
}

/// The report, with ANSI styles; 80 columns wide at most.
pub fn render(plan: &Plan, results: &Results) -> String {
    let mut page = Page::default();
    page.headline(results);
    for finding in telling(results) {
        page.entry(&finding.check, verdict_style(finding.verdict), &quoted(&finding.summary));
        for Evidence { line, below } in evidence(finding) {
            page.evidence(&quoted(line));
            below.into_iter().for_each(|line| page.below(&shown(line)));
        }
    }
    let not_judged: Vec<String> = not_judged(results).map(|it| quoted(&it.check)).collect();
    if !not_judged.is_empty() {
        page.aside(Verdict::NotJudged.name(), &not_judged.join(", "));
    }
    page.gap();
    for (name, figure) in figures(plan, results) {
        page.entry(name, DIM, &figure);
    }
    page.gap();
    page.workers(results);
    if !results.faults.is_empty() {
        page.gap();
    }
    for figures in results.faults.iter().take(MOST_FAULTS) {
        let style = if figures.bit { DIM } else { verdict_style(Verdict::Inconclusive) };
        page.entry(&figures.name, style, &fault(figures));
    }
    if let Some(more @ 1..) = results.faults.len().checked_sub(MOST_FAULTS) {
        page.entry("", DIM, &format!("and {more} more strikes (see report.md)"));
    }
    page.text
}

/// The colour of a verdict.
pub(crate) fn verdict_style(verdict: Verdict) -> Style {
    let colour = match verdict {
        Verdict::NotJudged => return DIM,
        Verdict::Pass => AnsiColor::Green,
        Verdict::Inconclusive => AnsiColor::Yellow,
        Verdict::Fail => AnsiColor::Red,
    };
    colour.on_default().bold()
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn headline(&mut self, results: &Results) {
        let style = verdict_style(results.verdict);
        let verdict = results.verdict.name().to_uppercase();
        let scenario = quoted(&results.scenario);
        self.text += &format!("{style}{verdict}{style:#}  {BOLD}{scenario}{BOLD:#}\n\n");
        let Some(why) = &results.why else { return };
        let said = wrapped(&quoted_to(why, LONG), WIDTH - WHY.len() - 1);
        self.text += &format!("{BOLD}{WHY}{BOLD:#} {}\n", said[0]);
        for line in &said[1..] {
            self.text += &format!("{:1$} {line}\n", "", WHY.len());
        }
        self.gap();
    }

    fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A name on the left, and beside it what there is to say, in as many lines as it takes.
    fn entry(&mut self, name: &str, style: Style, said: &str) {
        let name = left(name);
        let padding = " ".repeat(LEFT - 2 - name.chars().count());
        for (number, line) in wrapped(said, WIDTH - LEFT).iter().enumerate() {
            if number == 0 {
                self.text += &format!("  {style}{name}{style:#}{padding}{line}\n");
            } else {
                self.text += &format!("{:LEFT$}{line}\n", "");
            }
        }
    }

    /// An entry that is there to be found, and not to catch the eye.
    fn aside(&mut self, name: &str, said: &str) {
        for (number, line) in wrapped(said, WIDTH - LEFT).iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            let left = LEFT - 2;
            self.text += &format!("  {DIM}{name:left$}{line}{DIM:#}\n");
        }
    }

    /// A line of evidence below an entry.
    fn evidence(&mut self, said: &str) {
        const MARK: &str = "- ";
        for (number, line) in wrapped(said, WIDTH - LEFT - MARK.len()).iter().enumerate() {
            let mark = if number == 0 { MARK } else { "  " };
            self.text += &format!("{:LEFT$}{mark}{line}\n", "");
        }
    }

    /// A line that goes on with the evidence above it, as it was written.
    fn below(&mut self, line: &str) {
        const INDENT: usize = LEFT + 4;
        let mut rest: Vec<char> = line.chars().collect();
        loop {
            let next = rest.split_off(rest.len().min(WIDTH - INDENT));
            self.text += &format!("{:INDENT$}{}\n", "", rest.iter().collect::<String>());
            rest = next;
            if rest.is_empty() {
                return;
            }
        }
    }

    fn workers(&mut self, results: &Results) {
        let most = results.workers.values().copied().max().unwrap_or(0).max(1);
        let digits = most.to_string().len();
        let room = WIDTH - LEFT - digits - 1;
        for (worker, &chunks) in results.workers.iter().take(MOST_WORKERS) {
            let bar = "█".repeat((chunks as f64 / most as f64 * room as f64).round() as usize);
            self.entry(
                worker,
                DIM,
                format!("{chunks:>digits$}\u{a0}{bar}").trim_end_matches('\u{a0}'),
            );
        }
        if results.workers.len() > MOST_WORKERS {
            let more = results.workers.len() - MOST_WORKERS;
            self.entry("", DIM, &format!("and {more} more workers"));
        }
    }
}

/// A name that fits on the left.
fn left(name: &str) -> String {
    const LONGEST: usize = LEFT - 3;
    let name = quoted(name);
    if name.chars().count() <= LONGEST {
        return name;
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// The text in lines of at most so many columns; a word that is longer is broken.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > columns {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().expect("there is a first line").push(' ');
            used += 1;
        }
        while word.len() > columns {
            let rest = word.split_off(columns);
            lines.last_mut().expect("there is a first line").extend(word);
            lines.push(String::new());
            word = rest;
        }
        used += word.len();
        lines.last_mut().expect("there is a first line").extend(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use crate::history::Event;
    use insta::assert_snapshot;

    fn plain(history: &History) -> String {
        let text = render(&history.plan, &judged(history));
        let text = anstream::adapter::strip_str(&text).to_string();
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= WIDTH, "{widest} columns");
        text
    }

    #[test]
    fn a_pass() {
        assert_snapshot!(plain(&History::of(plan_with_kill())), @r"
        PASS  m3-redis-fault

          coverage      all 1000 parameters in 100 chunks, each counted exactly once
          not judged    retries, throughput, duration, finish, efficiency

          sweep         1000 parameters in 100 chunks, redis backend, 3 workers
          wall time     45.0 s (ideal 45.0 s, efficiency 100.0 %)
          throughput    22.2 parameters/s
          recovery      1 chunk taken over, p50 40 ms, max 40 ms
          redelivered   1 delivery, 0 duplicate results removed
          aggregate     sum 500035.5 over 1000 parameters
          values        repeat every 1000 parameters: a result over parameters 1000
                        further on cannot be told from the right one
          seed          42

          worker-0      45 █████████████████████████████████████████████████████████████
          worker-1      10 ██████████████
          worker-2      45 █████████████████████████████████████████████████████████████

          kill-1        kill worker-1 at 10.8 s: process 101 ended by signal 9
        ");
    }

    #[test]
    fn a_failure_says_what_it_is_due_to_first() {
        assert_snapshot!(plain(&History::of(plan_with_kill()).without_chunk("00031")), @r"
        FAIL  m3-redis-fault

        why: of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last
             held by worker-1, which was killed at 10.8 s, and never taken over

          coverage      of 1000 parameters: 10 missing
                        - parameters 310..320 (chunk 00031): last held by worker-1,
                          which was killed at 10.8 s, and never taken over
          recovery      1 held chunk never taken over
                        - chunk 00031, held by worker-1, which was killed at 10.8 s
          not judged    retries, throughput, duration, finish, efficiency

          sweep         1000 parameters in 100 chunks, redis backend, 3 workers
          wall time     45.0 s (ideal 45.0 s)
          throughput    22.0 parameters/s
          recovery      no chunk was taken over
          redelivered   1 delivery, 0 duplicate results removed
          aggregate     sum 500035.5 over 1000 parameters
          values        repeat every 1000 parameters: a result over parameters 1000
                        further on cannot be told from the right one
          seed          42

          worker-0      44 ████████████████████████████████████████████████████████████
          worker-1      10 ██████████████
          worker-2      45 █████████████████████████████████████████████████████████████

          kill-1        kill worker-1 at 10.8 s: process 101 ended by signal 9
        ");
    }

    #[test]
    fn an_inconclusive_run_says_what_was_not_tested() {
        let history = History::of(plan_with_kill())
            .without(|event| matches!(event, Event::FaultInjected { .. }))
            .without(|event| matches!(event, Event::ProcessExited { signal: Some(9), .. }));
        assert_snapshot!(plain(&history), @r"
        INCONCLUSIVE  m3-redis-fault

        why: 1 of 1 fault did not bite; kill-1: the sweep ended before 30 %

          faults        1 of 1 fault did not bite
                        - kill-1: the sweep ended before 30 %
          history       the history contradicts itself
                        - worker-1 (process 101) was started, and its end is missing
          not judged    retries, throughput, duration, finish, efficiency

          sweep         1000 parameters in 100 chunks, redis backend, 3 workers
          wall time     45.0 s (ideal 34.0 s, efficiency 75.5 %)
          throughput    22.2 parameters/s
          recovery      1 chunk taken over, p50 40 ms, max 40 ms
          redelivered   1 delivery, 0 duplicate results removed
          aggregate     sum 500035.5 over 1000 parameters
          values        repeat every 1000 parameters: a result over parameters 1000
                        further on cannot be told from the right one
          seed          42

          worker-0      45 █████████████████████████████████████████████████████████████
          worker-1      10 ██████████████
          worker-2      45 █████████████████████████████████████████████████████████████

          kill-1        kill, did not bite: the sweep ended before 30 %
        ");
    }

    #[test]
    fn the_verdict_is_in_colour() {
        let history = History::of(plan());
        assert!(render(&history.plan, &judged(&history)).starts_with("\u{1b}[1m\u{1b}[32mPASS"));
    }

    #[test]
    fn what_is_not_judged_is_grey() {
        let history = History::of(plan());
        let text = render(&history.plan, &judged(&history));
        let line = text.lines().find(|line| line.contains("not judged")).unwrap();
        assert!(
            line.starts_with("  \u{1b}[2mnot judged    ") && line.ends_with("\u{1b}[0m"),
            "{line:?}"
        );
    }

    #[test]
    fn many_workers_and_long_names_keep_within_the_page() {
        let mut plan = plan();
        plan.workers = 40;
        let history = History::of(plan).spoil(|record| {
            if let Event::Result(result) = &mut record.event {
                result.worker = result.worker.replace("worker-1", "a-worker-with-a-long-name-");
            }
        });
        assert!(plain(&history).contains("more workers"));
    }

    #[test]
    fn words_that_do_not_fit_are_broken() {
        assert_eq!(wrapped("ab cdefghij k", 4), ["ab", "cdef", "ghij", "k"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
