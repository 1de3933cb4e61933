//! `report.html`: one file for a browser, with the timeline; it needs no script and no network.

use super::timeline::Timeline;
use super::{Evidence, evidence, fault, figures, telling};
use crate::last_words::shown;
use crate::plan::Plan;
use crate::results::Results;
use crate::verdict::Verdict;

const STYLE: &str = include_str!("report.css");

/// The report as HTML.
pub(super) fn render(plan: &Plan, results: &Results, timeline: &Timeline) -> String {
    let (scenario, verdict) = (escaped(&results.scenario), results.verdict.name());
    let description = escaped(&plan.description);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{scenario}: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1><span class=\"verdict {verdict}\">{verdict}</span> {scenario}</h1>\n\
         <p>{description}</p>\n"
    );
    html += &why(results);
    html += "<h2>Timeline</h2>\n";
    html += &timeline.svg();
    if let Some(caption) = timeline.caption() {
        html += &format!("<p class=\"note\">{}</p>\n", escaped(&caption));
    }
    let figures = figures(plan, results).into_iter();
    html += &table("Figures", figures.map(|(name, figure)| (escaped(name), escaped(&figure))));
    let workers = results.workers.iter();
    let chunks = |chunks: &u64| crate::words::counted(*chunks, "chunk");
    html += &table("Workers", workers.map(|(name, count)| (escaped(name), chunks(count))));
    let faults = results.faults.iter();
    html += &table("Faults", faults.map(|it| (escaped(&it.name), escaped(&fault(it)))));
    let findings = results.findings.iter().map(|finding| {
        let (verdict, summary) = (finding.verdict, escaped(&finding.summary));
        let class = verdict.name().replace(' ', "-");
        let said = match verdict {
            Verdict::NotJudged => format!("<span class=\"{class}\">{verdict}: {summary}</span>"),
            _ => format!("<span class=\"verdict {class}\">{verdict}</span> {summary}"),
        };
        (escaped(&finding.check), said)
    });
    html += &table("Checks", findings);
    html + "</body>\n</html>\n"
}

/// What the verdict is due to, with the evidence.
fn why(results: &Results) -> String {
    let verdict = results.verdict;
    let cause = results.why.as_deref().map(escaped);
    let mut html = cause.map_or_else(String::new, |cause| {
        format!("<section class=\"why {verdict}\"><p><b>why:</b> {cause}</p></section>\n")
    });
    for finding in telling(results) {
        let (check, summary) = (escaped(&finding.check), escaped(&finding.summary));
        let lines: String = evidence(finding).iter().map(entry).collect();
        html += &format!(
            "<section class=\"why {}\"><p><b>{check}</b>: {summary}</p>\n<ul>\n{lines}</ul></section>\n",
            finding.verdict
        );
    }
    html
}

fn entry(Evidence { line, below }: &Evidence<'_>) -> String {
    let below: Vec<String> = below.iter().map(|line| escaped(&shown(line))).collect();
    let below = match &below[..] {
        [] => String::new(),
        lines => format!("<pre>{}</pre>", lines.join("\n")),
    };
    format!("<li>{}{below}</li>\n", escaped(line))
}

/// A table of names and what there is to say, already escaped; nothing where it would be empty.
fn table(title: &str, rows: impl Iterator<Item = (String, String)>) -> String {
    let rows: String =
        rows.map(|(name, said)| format!("<tr><th>{name}</th><td>{said}</td></tr>\n")).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("<h2>{title}</h2>\n<table>\n{rows}</table>\n")
}

/// Text that HTML and SVG show as it is.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan_with_kill};
    use crate::history::Event;
    use crate::report::testing::timeline;

    fn rendered(history: &History) -> String {
        render(&history.plan, &judged(history), &timeline(history))
    }

    #[test]
    fn it_is_one_file_that_needs_nothing_else() {
        let html = rendered(&History::of(plan_with_kill()));
        for outside in ["<script", "<link", "http://", "https://", "src=", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_failure_shows_its_evidence_before_the_figures() {
        let html = rendered(&History::of(plan_with_kill()).without_chunk("00031"));
        let evidence = html.find("parameters 310..320 (chunk 00031)").unwrap();
        assert!(evidence < html.find("<h2>Figures").unwrap());
    }

    #[test]
    fn what_is_not_judged_is_grey() {
        let html = rendered(&History::of(plan_with_kill()));
        let faint = "<span class=\"not-judged\">not judged: none expected</span>";
        assert!(html.contains(faint), "{html}");
        assert!(html.contains(".not-judged { color: var(--faint); }"));
    }

    #[test]
    fn text_from_outside_is_shown_as_it_is() {
        let mut plan = plan_with_kill();
        plan.description = "<script>alert('&')</script>".into();
        let history = History::of(plan).spoil(|record| match &mut record.event {
            Event::FaultInjected { proof, .. } => *proof = "<b>\"x\"</b>".into(),
            Event::Result(result) => result.worker = "<i>".into(),
            _ => {}
        });
        let html = rendered(&history);
        for raw in ["<script", "<b>\"", "<i>"] {
            assert!(!html.contains(raw), "{raw}");
        }
        assert!(html.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"));
    }
}
