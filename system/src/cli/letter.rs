//! A dead letter as people see it.

use std::fmt::Write;

use serde::Serialize;

use crate::chunk::Sweep;
use crate::printable;
use crate::queue::replayed;
use crate::wire::{self, DeadLetter, Task};

/// Width of a line of the table.
const WIDTH: usize = 80;

/// Width of a moment: in whole seconds, since the rest of it is for `show`.
const SECONDS: usize = "2026-01-02T03:04:05Z".len();

/// One dead letter, for the table, for JSON and for a closer look.
#[derive(Debug, Serialize)]
pub(super) struct Letter {
    /// The chunk's id; none where no task of the sweep can be read.
    chunk_id: Option<String>,
    start_param: Option<u64>,
    end_param: Option<u64>,
    /// Failed attempts since it was last replayed.
    attempts: u32,
    replays: u32,
    failed_at: String,
    reason: String,
    /// Every field of the message.
    fields: serde_json::Value,
    #[serde(skip)]
    task: Option<Task>,
}

impl Letter {
    pub(super) fn new(letter: &DeadLetter, sweep: Option<&Sweep>) -> Self {
        let task = letter.task().filter(|_| replayed(letter, sweep).is_ok());
        let fields = wire::to_json(&letter.task);
        Self {
            chunk_id: task.as_ref().map(|task| task.chunk.id().to_string()),
            start_param: task.as_ref().map(|task| task.chunk.start),
            end_param: task.as_ref().map(|task| task.chunk.end),
            attempts: letter.retry_count,
            replays: task.as_ref().map_or(0, |task| task.replays),
            failed_at: letter.failed_at.clone(),
            reason: letter.last_error.clone(),
            fields: serde_json::from_str(&fields).expect("written as JSON just now"),
            task,
        }
    }

    /// Index of the chunk.
    pub(super) fn index(&self) -> Option<u64> {
        self.task.as_ref().map(|task| task.chunk.index)
    }

    /// Everything, one thing a line.
    pub(super) fn details(&self) -> String {
        let (chunk, parameters) = self.names();
        let mut text = format!("chunk {chunk}\n");
        let mut line = |name: &str, value: &str| {
            let value =
                value.lines().map(printable::line).collect::<Vec<_>>().join("\n              ");
            let _ = writeln!(text, "  {name:<12}{value}");
        };
        line("parameters", &parameters);
        line("attempts", &self.attempts.to_string());
        line("replays", &self.replays.to_string());
        line("failed at", &self.failed_at);
        line("reason", &self.reason);
        line("fields", &self.fields.to_string());
        text
    }

    fn names(&self) -> (String, String) {
        let dash = || "-".to_owned();
        self.task.as_ref().map_or_else(
            || (dash(), dash()),
            |task| {
                (task.chunk.id().to_string(), format!("{}..{}", task.chunk.start, task.chunk.end))
            },
        )
    }

    fn cells(&self) -> [String; 5] {
        let (chunk, parameters) = self.names();
        let failed_at = match self.failed_at.parse::<jiff::Timestamp>() {
            Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => printable::line(&self.failed_at).chars().take(SECONDS).collect(),
        };
        [chunk, parameters, self.attempts.to_string(), failed_at, printable::line(&self.reason)]
    }
}

/// The letters under a heading, each on one line that fits the terminal.
pub(super) fn table(letters: &[Letter]) -> String {
    let heading = ["CHUNK", "PARAMETERS", "ATTEMPTS", "FAILED AT", "REASON"].map(str::to_owned);
    let rows: Vec<[String; 5]> =
        std::iter::once(heading).chain(letters.iter().map(Letter::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for [chunk, parameters, attempts, failed_at, reason] in &rows {
        let [a, b, c, d] = widths;
        let line =
            format!("{chunk:<a$}  {parameters:<b$}  {attempts:>c$}  {failed_at:<d$}  {reason}");
        text.push_str(cut(&line).trim_end());
        text.push('\n');
    }
    text
}

/// At most [`WIDTH`] characters; the last says where some are missing.
fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(task: &str, reason: &str) -> Letter {
        let sweep = Sweep { start: 0, params: 1000, chunk_size: 10 };
        let letter = DeadLetter {
            task: wire::from_json(task),
            last_error: reason.to_owned(),
            failed_at: "2026-01-02T03:04:05.678Z".to_owned(),
            retry_count: 4,
        };
        Letter::new(&letter, Some(&sweep))
    }

    fn letters() -> [Letter; 3] {
        let task = r#"{"chunk_id":"00031","start_param":310,"end_param":320,"replays":1}"#;
        let stranger = r#"{"chunk_id":"00100","start_param":0,"end_param":10}"#;
        [
            letter(
                task,
                "the program ended (exit status: 3)\nout of \u{1b}[31mcheese, and of wine",
            ),
            letter(stranger, "chunk_id 00100 is not below the sweep's 100 chunks"),
            letter("no JSON", "chunk_id is missing"),
        ]
    }

    #[test]
    fn a_list_fits_80_columns_and_has_no_control_characters() {
        let table = table(&letters());
        insta::assert_snapshot!(table, @r"
        CHUNK  PARAMETERS  ATTEMPTS  FAILED AT             REASON
        00031  310..320           4  2026-01-02T03:04:05Z  the program ended (exit stat…
        -      -                  4  2026-01-02T03:04:05Z  chunk_id 00100 is not below …
        -      -                  4  2026-01-02T03:04:05Z  chunk_id is missing
        ");
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(table.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn a_closer_look_leaves_nothing_out() {
        insta::assert_snapshot!(letters()[0].details(), @r#"
        chunk 00031
          parameters  310..320
          attempts    4
          replays     1
          failed at   2026-01-02T03:04:05.678Z
          reason      the program ended (exit status: 3)
                      out of  [31mcheese, and of wine
          fields      {"chunk_id":"00031","end_param":"320","replays":"1","start_param":"310"}
        "#);
    }

    #[test]
    fn json_has_null_where_there_is_no_task() {
        let text = |letter| serde_json::to_string(letter).expect("plain data");
        let [task, _, none] = &letters();
        insta::assert_snapshot!(text(task), @r##"{"chunk_id":"00031","start_param":310,"end_param":320,"attempts":4,"replays":1,"failed_at":"2026-01-02T03:04:05.678Z","reason":"the program ended (exit status: 3)\nout of \u001b[31mcheese, and of wine","fields":{"chunk_id":"00031","end_param":"320","replays":"1","start_param":"310"}}"##);
        insta::assert_snapshot!(text(none), @r##"{"chunk_id":null,"start_param":null,"end_param":null,"attempts":4,"replays":0,"failed_at":"2026-01-02T03:04:05.678Z","reason":"chunk_id is missing","fields":{"raw":"no JSON"}}"##);
    }
}
