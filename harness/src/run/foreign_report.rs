//! What an aggregator that is not ours has printed: a line of JSON, of the form that ours prints. What it
//! leaves out is not made up: nobody can judge it.

use serde_json::Value;

use crate::history::{Event, PartialAggregate, SeenAggregate};
use crate::words::has_name;

/// The report in a line that it printed, if that is one: a JSON object with one of a report's figures.
pub(super) fn read(line: &[u8]) -> Option<Event> {
    let line: Value = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(error) => {
            // JSON has no NaN, and some programs write it all the same.
            let is_meant_as_one = FIGURES.iter().any(|name| has_name(line, name));
            let reason = error.to_string();
            return is_meant_as_one.then_some(Event::UnreadableReport { reason });
        }
    };
    let report = figures(&line);
    (report != PartialAggregate::default()).then(|| told(report))
}

/// By these a line is known to be meant as a report.
const FIGURES: [&str; 2] = ["complete", "result"];

fn figures(line: &Value) -> PartialAggregate {
    let result = |name: &str| line.get("result")?.get(name);
    let whole = |value: Option<&Value>| value?.as_u64();
    let number = |value: Option<&Value>| value?.as_f64();
    PartialAggregate {
        complete: line.get("complete").and_then(Value::as_bool),
        dead_lettered: whole(line.get("dead_lettered")),
        chunks: whole(line.get("chunks")),
        duplicates_removed: whole(line.get("duplicates_removed")),
        count: whole(result("count")),
        sum: number(result("sum")),
        min: number(result("min")),
        max: number(result("max")),
        avg: number(result("avg")),
    }
}

/// As a report like ours, where nothing is left out.
fn told(report: PartialAggregate) -> Event {
    whole(&report).map_or(Event::PartialAggregate(report), Event::Aggregate)
}

fn whole(report: &PartialAggregate) -> Option<SeenAggregate> {
    Some(SeenAggregate {
        chunks: report.chunks?,
        duplicates_removed: report.duplicates_removed?,
        dead_lettered: report.dead_lettered,
        complete: report.complete?,
        count: report.count?,
        sum: report.sum?,
        min: report.min?,
        max: report.max?,
        avg: report.avg?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"complete":true,"chunks":3,"duplicates_removed":1,"result":{"sum":6.5,"count":30,"min":0,"max":1,"avg":0.2},"more":[]}"#;

    #[test]
    fn a_report_of_the_form_of_ours_is_one() {
        let Some(Event::Aggregate(report)) = read(WHOLE.as_bytes()) else { panic!() };
        assert_eq!((report.chunks, report.count, report.sum, report.min), (3, 30, 6.5, 0.0));
        assert!(report.complete);
    }

    #[test]
    fn what_is_left_out_is_not_made_up() {
        let line = br#"{"chunks":3,"result":{"sum":6.5,"count":"thirty"}}"#;
        let report = PartialAggregate { chunks: Some(3), sum: Some(6.5), ..Default::default() };
        assert_eq!(read(line), Some(Event::PartialAggregate(report)));
    }

    #[test]
    fn a_report_that_is_no_json_is_told() {
        let line = br#"{"complete": true, "result": {"sum": NaN}}"#;
        let Some(Event::UnreadableReport { reason }) = read(line) else { panic!() };
        assert_eq!(reason, "expected value at line 1 column 38");
    }

    #[test]
    fn what_is_no_report_is_passed_over() {
        for line in ["[1]", "\"done\"", "{\"level\":\"INFO\"}", "{half", "it came to 6.5", ""] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
