//! `report.md`: for a pull request or a wiki.

use super::{Evidence, evidence, fault, figures, telling};
use crate::last_words::shown;
use crate::plan::Plan;
use crate::results::Results;
use crate::verdict::Verdict;

/// The report as Markdown.
pub fn render(plan: &Plan, results: &Results) -> String {
    let mut text = format!("# {}: {}\n\n", escaped(&results.scenario), results.verdict);
    if let Some(why) = &results.why {
        text += &format!("**why:** {}\n\n", escaped(why));
    }
    text += &format!("{}\n", escaped(&plan.description));
    for finding in telling(results) {
        let (check, summary) = (escaped(&finding.check), escaped(&finding.summary));
        text += &format!("\n**{check}**: {summary}\n");
        if !finding.evidence.is_empty() {
            text.push('\n');
        }
        for Evidence { line, below } in evidence(finding) {
            text += &format!("- {}\n", escaped(line));
            // As it was written: a block of code in the item of the list.
            for (number, line) in below.into_iter().enumerate() {
                let gap = if number == 0 { "\n" } else { "" };
                text += &format!("{gap}      {}\n", shown(line));
            }
        }
    }
    let figures = figures(plan, results).into_iter();
    let rows = figures.map(|(name, figure)| [name.to_owned(), escaped(&figure)]);
    table(&mut text, "Figures", ["figure", "value"], rows);
    let workers = results.workers.iter();
    let rows = workers.map(|(worker, chunks)| [escaped(worker), chunks.to_string()]);
    table(&mut text, "Workers", ["worker", "chunks"], rows);
    let faults = results.faults.iter();
    let rows = faults.map(|figures| [escaped(&figures.name), escaped(&fault(figures))]);
    table(&mut text, "Faults", ["fault", "what it did"], rows);
    let findings = results.findings.iter().map(|finding| {
        let verdict = match finding.verdict {
            Verdict::NotJudged => format!("*{}*", Verdict::NotJudged),
            judged => judged.to_string(),
        };
        [escaped(&finding.check), verdict, escaped(&finding.summary)]
    });
    table(&mut text, "Checks", ["check", "verdict", "summary"], findings);
    text
}

/// A table under a heading; nothing where it would be empty.
fn table<const COLUMNS: usize>(
    text: &mut String,
    title: &str,
    head: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let rule = ["---"; COLUMNS].join(" | ");
    *text += &format!("\n## {title}\n\n| {} |\n| {rule} |\n", head.join(" | "));
    for row in rows {
        *text += &format!("| {} |\n", row.join(" | "));
    }
}

/// Text that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '&' | '~') {
            safe.push('\\');
        }
        safe.push(if c.is_control() { ' ' } else { c });
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use insta::assert_snapshot;

    fn rendered(history: &History) -> String {
        render(&history.plan, &judged(history))
    }

    #[test]
    fn a_failure() {
        assert_snapshot!(rendered(&History::of(plan_with_kill()).without_chunk("00031")), @r"
        # m3-redis-fault: fail

        **why:** of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over

        One of three workers is killed at 30 %; every parameter counts once.

        **coverage**: of 1000 parameters: 10 missing

        - parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over

        **recovery**: 1 held chunk never taken over

        - chunk 00031, held by worker-1, which was killed at 10.8 s

        ## Figures

        | figure | value |
        | --- | --- |
        | sweep | 1000 parameters in 100 chunks, redis backend, 3 workers |
        | wall time | 45.0 s (ideal 45.0 s) |
        | throughput | 22.0 parameters/s |
        | recovery | no chunk was taken over |
        | redelivered | 1 delivery, 0 duplicate results removed |
        | aggregate | sum 500035.5 over 1000 parameters |
        | values | repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one |
        | seed | 42 |

        ## Workers

        | worker | chunks |
        | --- | --- |
        | worker-0 | 44 |
        | worker-1 | 10 |
        | worker-2 | 45 |

        ## Faults

        | fault | what it did |
        | --- | --- |
        | kill-1 | kill worker-1 at 10.8 s: process 101 ended by signal 9 |

        ## Checks

        | check | verdict | summary |
        | --- | --- | --- |
        | ending | pass | the sweep completed |
        | coverage | fail | of 1000 parameters: 10 missing |
        | workers | pass | every result is by one of 3 workers |
        | values | pass | repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one |
        | settled | pass | no task is open |
        | stored | pass | 100 results, as they were committed |
        | submission | pass | every chunk once, with the range of the plan |
        | aggregate | pass | sum 500035.5 over 1000 parameters, exactly as implied |
        | faults | pass | 1 fault planned, proved to have taken effect |
        | processes | pass | none ended badly by itself; the run completed |
        | recovery | fail | 1 held chunk never taken over |
        | retries | *not judged* | not known, and none expected |
        | throughput | *not judged* | 22.0 parameters/s |
        | duration | *not judged* | the sweep did not finish |
        | finish | *not judged* | none expected |
        | efficiency | *not judged* | not known |
        | history | pass | whole, from the start of the run to its end |
        ");
    }

    #[test]
    fn text_cannot_break_out_of_its_cell() {
        let mut plan = plan();
        plan.description = "a | b\n# <script> *c*".into();
        assert!(rendered(&History::of(plan)).contains(r"a \| b # \<script\> \*c\*"));
    }

    #[test]
    fn a_table_without_rows_is_left_out() {
        assert!(!rendered(&History::of(plan())).contains("## Faults"));
    }
}
