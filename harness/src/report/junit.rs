//! `junit.xml`: for continuous integration.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Evidence, figures, not_judged, telling};
use crate::last_words::shown;
use crate::plan::Plan;
use crate::results::Results;
use crate::verdict::Verdict;

/// Each run as one test case: a failure where it failed, an error where it was inconclusive. Beside
/// it, what was not judged of it, as skipped.
pub fn render(runs: &[(&Plan, &Results)]) -> String {
    let mut suite = TestSuite::new("harness");
    suite.set_time(runs.iter().map(|(_, results)| wall_time(results)).sum());
    for (plan, results) in runs {
        suite.add_test_case(case(plan, results));
        suite.add_test_cases(skipped(results));
    }
    let mut report = Report::new("harness");
    report.add_test_suite(suite);
    let text =
        report.to_string().expect("text without control characters, which the types leave out");
    // These are no characters of XML either.
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn case(plan: &Plan, results: &Results) -> TestCase {
    let mut case = TestCase::new(results.scenario.as_str(), status(results));
    case.set_classname(format!("harness.{}", results.backend));
    case.set_time(wall_time(results));
    for (name, figure) in figures(plan, results) {
        case.add_property(Property::new(name, figure));
    }
    case
}

/// The checks that found nothing out, because nothing is expected or there is nothing to judge.
fn skipped(results: &Results) -> impl Iterator<Item = TestCase> {
    not_judged(results).map(|finding| {
        let mut status = TestCaseStatus::skipped();
        status.set_message(format!("{}: {}", finding.verdict, finding.summary));
        let name = format!("{}: {}", results.scenario, finding.check);
        let mut case = TestCase::new(name, status);
        case.set_classname(format!("harness.{}", results.backend));
        case
    })
}

fn status(results: &Results) -> TestCaseStatus {
    let kind = match results.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => NonSuccessKind::Failure,
        Verdict::Inconclusive | Verdict::NotJudged => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(results.verdict.name());
    let message: Vec<String> = why(results).into_iter().chain(results.reasons.clone()).collect();
    status.set_message(message.join("; "));
    status.set_description(evidence(results));
    status
}

fn why(results: &Results) -> Option<String> {
    results.why.as_ref().map(|why| format!("why: {why}"))
}

fn evidence(results: &Results) -> String {
    let mut text = why(results).map_or_else(String::new, |why| why + "\n");
    for finding in telling(results) {
        text += &format!("{}: {}\n", finding.check, finding.summary);
        for Evidence { line, below } in super::evidence(finding) {
            text += &format!("- {line}\n");
            below.into_iter().for_each(|line| text += &format!("    {}\n", shown(line)));
        }
    }
    text
}

fn wall_time(results: &Results) -> Duration {
    Duration::try_from_secs_f64(results.wall_s.unwrap_or(0.0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan_with_kill};
    use crate::history::{EndReason, Event};

    fn rendered(history: &History) -> String {
        render(&[(&history.plan, &judged(history))])
    }

    #[test]
    fn what_is_no_character_of_xml_is_not_written() {
        let history = History::of(plan_with_kill()).without_chunk("00031");
        let why = Some("a\u{fffe}b\u{ffff}c\u{0}d\u{1b}[31m".to_owned());
        let text = render(&[(&history.plan, &Results { why, ..judged(&history) })]);
        let is_valid = |c: char| {
            !matches!(c, '\u{fffe}' | '\u{ffff}') && (!c.is_control() || "\t\n\r".contains(c))
        };
        assert!(text.chars().all(is_valid), "{text}");
        assert!(text.contains("a\u{fffd}b\u{fffd}c"), "{text}");
    }

    #[test]
    fn a_failure_carries_its_evidence() {
        let history = History::of(plan_with_kill()).without_chunk("00031");
        insta::assert_snapshot!(rendered(&history), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="harness" tests="6" skipped="5" failures="1" errors="0">
            <testsuite name="harness" tests="6" skipped="5" errors="0" failures="1" time="45.020">
                <testcase name="m3-redis-fault" classname="harness.redis" time="45.020">
                    <properties>
                        <property name="sweep" value="1000 parameters in 100 chunks, redis backend, 3 workers"/>
                        <property name="wall time" value="45.0 s (ideal 45.0 s)"/>
                        <property name="throughput" value="22.0 parameters/s"/>
                        <property name="recovery" value="no chunk was taken over"/>
                        <property name="redelivered" value="1 delivery, 0 duplicate results removed"/>
                        <property name="aggregate" value="sum 500035.5 over 1000 parameters"/>
                        <property name="values" value="repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one"/>
                        <property name="seed" value="42"/>
                    </properties>
                    <failure message="why: of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over; coverage: of 1000 parameters: 10 missing; recovery: 1 held chunk never taken over" type="fail">why: of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over
        coverage: of 1000 parameters: 10 missing
        - parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over
        recovery: 1 held chunk never taken over
        - chunk 00031, held by worker-1, which was killed at 10.8 s
        </failure>
                </testcase>
                <testcase name="m3-redis-fault: retries" classname="harness.redis">
                    <skipped message="not judged: not known, and none expected"/>
                </testcase>
                <testcase name="m3-redis-fault: throughput" classname="harness.redis">
                    <skipped message="not judged: 22.0 parameters/s"/>
                </testcase>
                <testcase name="m3-redis-fault: duration" classname="harness.redis">
                    <skipped message="not judged: the sweep did not finish"/>
                </testcase>
                <testcase name="m3-redis-fault: finish" classname="harness.redis">
                    <skipped message="not judged: none expected"/>
                </testcase>
                <testcase name="m3-redis-fault: efficiency" classname="harness.redis">
                    <skipped message="not judged: not known"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn a_pass_is_a_success_and_an_inconclusive_run_an_error() {
        let pass = rendered(&History::of(plan_with_kill()));
        assert!(pass.contains("failures=\"0\" errors=\"0\""), "{pass}");
        let inconclusive = rendered(&History::of(plan_with_kill()).ended(EndReason::Interrupted));
        assert!(inconclusive.contains("<error message="), "{inconclusive}");
    }

    #[test]
    fn text_from_outside_cannot_break_the_xml() {
        let history = History::of(plan_with_kill()).with(
            9.0,
            Event::ProcessExited {
                process: "worker-0".into(),
                pid: 1,
                code: Some(1),
                signal: None,
                said: Some("</failure>\u{1b}[31m & \"so\"\u{0}\u{fffe}\u{ffff}".into()),
            },
        );
        let xml = rendered(&history);
        assert!(xml.contains("&lt;/failure&gt;"), "{xml}");
        assert!(!xml.contains(['\u{1b}', '\u{0}', '\u{fffe}', '\u{ffff}']), "{xml}");
    }
}
