//! What a program is asked and what it answers, one line of JSON each.

use serde::{Deserialize, Serialize};

use crate::chunk::Chunk;
use crate::stats::{Collector, Stats};

/// Numbers that programs write and JSON does not have.
const NO_NUMBERS: [&str; 4] = ["NaN", "-Infinity", "Infinity", "nan"];

/// How much of an answer is shown, in characters.
const SHOWN: usize = 200;

#[derive(Serialize)]
struct Request {
    chunk_id: String,
    start_param: u64,
    end_param: u64,
}

#[derive(Deserialize)]
struct Answer {
    chunk_id: Option<String>,
    error: Option<String>,
    values: Option<Vec<f64>>,
    sum: Option<f64>,
    count: Option<u64>,
    min: Option<f64>,
    max: Option<f64>,
}

/// The line that asks for a chunk.
pub(super) fn request(chunk: &Chunk) -> String {
    let Chunk { start, end, .. } = *chunk;
    let request = Request { chunk_id: chunk.id().to_string(), start_param: start, end_param: end };
    serde_json::to_string(&request).expect("a request is plain data") + "\n"
}

/// The outer error is nonsense, after which the instance is not trusted any more; the inner one
/// is a failure that the program reported in good order.
pub(super) fn judge(line: &str, chunk: &Chunk) -> Result<Result<Stats, String>, String> {
    let answer: Answer = serde_json::from_str(line).map_err(|error| nonsense(line, &error))?;
    if let Some(other) = answer.chunk_id.filter(|id| *id != chunk.id().to_string()) {
        return Err(format!("the kernel answered for chunk {other:?}, not {}", chunk.id()));
    }
    if let Some(error) = answer.error {
        return Ok(Err(format!("the kernel reported: {error}")));
    }
    let stats = match answer {
        Answer { values: Some(values), .. } => {
            let mut collector = Collector::default();
            values.iter().for_each(|value| collector.add(*value));
            collector.stats().ok_or("the kernel answered with no values")?
        }
        Answer { sum: Some(sum), count: Some(count), min: Some(min), max: Some(max), .. } => {
            Stats { sum, count, min, max, avg: sum / count as f64 }
        }
        _ => return Err("the kernel's answer has neither values nor sum, count, min, max".into()),
    };
    if stats.count != chunk.params() {
        return Err(format!(
            "the kernel answered for {} parameters of the chunk's {}",
            stats.count,
            chunk.params()
        ));
    }
    // JSON has no infinity: such a result could be committed, and never be read.
    if ![stats.sum, stats.min, stats.max, stats.avg].iter().all(|value| value.is_finite()) {
        return Err("the kernel's values add up to more than a number can hold".to_owned());
    }
    Ok(Ok(stats))
}

/// What a line is that cannot be read as an answer.
fn nonsense(line: &str, error: &serde_json::Error) -> String {
    let line = line.trim_end();
    let shown: String = line.chars().take(SHOWN).collect();
    let looks_like_json = line.trim_start().starts_with('{');
    if let Some(number) = no_number(line).filter(|_| looks_like_json) {
        return format!(
            "the kernel answered with {number}, which JSON does not have and no sum survives \
             (answer with an error instead)"
        );
    }
    if looks_like_json {
        return format!("the kernel answered {shown:?}, which cannot be read: {error}");
    }
    let what = if error.is_data() { "no answer" } else { "no JSON" };
    format!(
        "the kernel printed {shown:?} to its standard output, which is {what} (print to standard \
         error instead)"
    )
}

/// The first of those words outside of strings.
fn no_number(line: &str) -> Option<&'static str> {
    let mut in_string = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            _ => {
                let word = NO_NUMBERS.into_iter().find(|word| line[at..].starts_with(word));
                if word.is_some() {
                    return word;
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: Chunk = Chunk { index: 3, start: 10, end: 12 };

    fn refused(line: &str) -> String {
        judge(line, &CHUNK).expect_err("it is nonsense")
    }

    #[test]
    fn what_is_no_json_is_told_as_what_it_is() {
        insta::assert_snapshot!(refused("hello\n"), @r#"the kernel printed "hello" to its standard output, which is no JSON (print to standard error instead)"#);
        insta::assert_snapshot!(refused("42\n"), @r#"the kernel printed "42" to its standard output, which is no answer (print to standard error instead)"#);
        insta::assert_snapshot!(refused("{\"values\":[1,\n"), @r#"the kernel answered "{\"values\":[1,", which cannot be read: EOF while parsing a value at line 2 column 0"#);
    }

    #[test]
    fn what_json_does_not_have_is_named() {
        for (line, word) in [
            (r#"{"values": [NaN, 1]}"#, "NaN"),
            (r#"{"values": [1, Infinity]}"#, "Infinity"),
            (r#"{"sum": -Infinity, "count": 2}"#, "-Infinity"),
            (r#"{"chunk_id": "a \" NaN", "values": [nan]}"#, "nan"),
        ] {
            let error = refused(line);
            assert!(error.starts_with(&format!("the kernel answered with {word}, ")), "{error}");
        }
        let named_only = refused(r#"{"error": "NaN", "values": [x]}"#);
        assert!(named_only.contains("cannot be read"), "{named_only}");
    }

    #[test]
    fn a_short_answer_and_one_for_another_chunk_are_refused() {
        insta::assert_snapshot!(refused(r#"{"values":[1]}"#), @"the kernel answered for 1 parameters of the chunk's 2");
        insta::assert_snapshot!(refused(r#"{"chunk_id":"00002","values":[1,2]}"#), @r#"the kernel answered for chunk "00002", not 00003"#);
        insta::assert_snapshot!(refused(r#"{"values":[1e308,1e308]}"#), @"the kernel's values add up to more than a number can hold");
    }

    #[test]
    fn a_failure_in_good_order_is_no_nonsense() {
        let told = judge(r#"{"error":"no such point"}"#, &CHUNK).expect("it can be read");
        assert_eq!(told, Err("the kernel reported: no such point".to_owned()));
    }
}
