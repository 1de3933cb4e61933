//! `results.json`: for programs.

use crate::results::Results;

/// The results as indented JSON.
pub fn render(results: &Results) -> String {
    let mut text =
        serde_json::to_string_pretty(results).expect("results are plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use crate::check::testing::{History, judged, plan_with_kill};

    #[test]
    fn the_results_of_a_run_that_lost_a_chunk() {
        let history = History::of(plan_with_kill()).without_chunk("00031");
        insta::assert_snapshot!(super::render(&judged(&history)), @r#"
        {
          "schema_version": 3,
          "scenario": "m3-redis-fault",
          "backend": "redis",
          "environment": "process",
          "environment_because": "",
          "seed": 42,
          "verdict": "fail",
          "why": "of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over",
          "reasons": [
            "coverage: of 1000 parameters: 10 missing",
            "recovery: 1 held chunk never taken over"
          ],
          "ended": "complete",
          "params": 1000,
          "chunks": 100,
          "workers": {
            "worker-0": 44,
            "worker-1": 10,
            "worker-2": 45
          },
          "wall_s": 45.02,
          "ideal_s": 45.0,
          "efficiency": null,
          "throughput_params_per_s": 21.9902,
          "coverage": {
            "missing": {
              "count": 10,
              "ranges": [
                [
                  310,
                  320
                ]
              ]
            },
            "duplicated": {
              "count": 0,
              "ranges": []
            },
            "unexpected": {
              "count": 0,
              "ranges": []
            },
            "wrong_value": {
              "count": 0,
              "ranges": []
            },
            "dead_lettered": {
              "count": 0,
              "ranges": []
            }
          },
          "queues": {
            "tasks": 0,
            "results": 100,
            "retry": 0,
            "letters": 0
          },
          "retried": null,
          "redelivered": 1,
          "duplicates_removed": 0,
          "recovery_ms": {
            "count": 0,
            "p50": null,
            "max": null
          },
          "faults": [
            {
              "name": "kill-1",
              "kind": "kill",
              "target": "worker-1",
              "at_s": 10.8,
              "bit": true,
              "proof": "process 101 ended by signal 9"
            }
          ],
          "aggregate": {
            "sum": 500035.5,
            "count": 1000,
            "min": 0.41,
            "max": 999.98,
            "avg": 500.0355
          },
          "findings": [
            {
              "check": "ending",
              "verdict": "pass",
              "summary": "the sweep completed",
              "evidence": []
            },
            {
              "check": "coverage",
              "verdict": "fail",
              "summary": "of 1000 parameters: 10 missing",
              "evidence": [
                "parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over"
              ]
            },
            {
              "check": "workers",
              "verdict": "pass",
              "summary": "every result is by one of 3 workers",
              "evidence": []
            },
            {
              "check": "values",
              "verdict": "pass",
              "summary": "repeat every 1000 parameters: a result over parameters 1000 further on cannot be told from the right one",
              "evidence": []
            },
            {
              "check": "settled",
              "verdict": "pass",
              "summary": "no task is open",
              "evidence": []
            },
            {
              "check": "stored",
              "verdict": "pass",
              "summary": "100 results, as they were committed",
              "evidence": []
            },
            {
              "check": "submission",
              "verdict": "pass",
              "summary": "every chunk once, with the range of the plan",
              "evidence": []
            },
            {
              "check": "aggregate",
              "verdict": "pass",
              "summary": "sum 500035.5 over 1000 parameters, exactly as implied",
              "evidence": []
            },
            {
              "check": "faults",
              "verdict": "pass",
              "summary": "1 fault planned, proved to have taken effect",
              "evidence": []
            },
            {
              "check": "processes",
              "verdict": "pass",
              "summary": "none ended badly by itself; the run completed",
              "evidence": []
            },
            {
              "check": "recovery",
              "verdict": "fail",
              "summary": "1 held chunk never taken over",
              "evidence": [
                "chunk 00031, held by worker-1, which was killed at 10.8 s"
              ]
            },
            {
              "check": "retries",
              "verdict": "not-judged",
              "summary": "not known, and none expected",
              "evidence": []
            },
            {
              "check": "throughput",
              "verdict": "not-judged",
              "summary": "22.0 parameters/s",
              "evidence": []
            },
            {
              "check": "duration",
              "verdict": "not-judged",
              "summary": "the sweep did not finish",
              "evidence": []
            },
            {
              "check": "finish",
              "verdict": "not-judged",
              "summary": "none expected",
              "evidence": []
            },
            {
              "check": "efficiency",
              "verdict": "not-judged",
              "summary": "not known",
              "evidence": []
            },
            {
              "check": "history",
              "verdict": "pass",
              "summary": "whole, from the start of the run to its end",
              "evidence": []
            }
          ]
        }
        "#);
    }
}
