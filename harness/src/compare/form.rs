//! A table as text, Markdown, JSON or CSV.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::table::Table;
use crate::report::terminal::wrapped;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people, aligned.
    Text,
    /// For a README or a step summary.
    Markdown,
    /// One object.
    Json,
    /// For spreadsheets.
    Csv,
}

/// Columns that sentences may take.
const WIDTH: usize = 78;

/// Writes it, with a line end.
pub fn write(table: &Table, form: Form) -> String {
    match form {
        Form::Text => text(table),
        Form::Markdown => markdown(table),
        Form::Json => json(table),
        Form::Csv => csv(table),
    }
}

/// Two columns beside the first at a time, so that it fits a narrow terminal.
fn text(table: &Table) -> String {
    let mut text = format!("{}\n", table.title);
    for from in (0..table.columns.len()).step_by(2) {
        let to = (from + 2).min(table.columns.len());
        let line = |name: &str, cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>28}")).collect();
            format!("  {name:20}{}\n", cells.concat())
        };
        text.push('\n');
        text.push_str(&line("", &table.columns[from..to]));
        for (name, cells) in &table.rows {
            text.push_str(&line(name, &cells[from..to]));
        }
    }
    for note in &table.notes {
        text.push('\n');
        for line in wrapped(note, WIDTH - 2) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn markdown(table: &Table) -> String {
    let line = |name: &str, cells: &[String]| format!("| {name} | {} |\n", cells.join(" | "));
    let mut text = line("", &table.columns);
    text.push_str(&line("---", &vec!["---:".to_owned(); table.columns.len()]));
    for (name, cells) in &table.rows {
        text.push_str(&line(name, cells));
    }
    for note in &table.notes {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

fn json(table: &Table) -> String {
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|(name, cells)| {
            let cells: Map<String, Value> = table
                .columns
                .iter()
                .cloned()
                .zip(cells.iter().map(|cell| Value::from(cell.as_str())))
                .collect();
            json!({ "row": name, "columns": cells })
        })
        .collect();
    let whole = json!({ "title": table.title, "rows": rows, "notes": table.notes });
    format!("{whole:#}\n")
}

fn csv(table: &Table) -> String {
    let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
    let line = |name: &str, cells: &[String]| {
        let cells: Vec<String> =
            std::iter::once(name).chain(cells.iter().map(|it| &**it)).map(quoted).collect();
        format!("{}\n", cells.join(","))
    };
    let mut text = line("", &table.columns);
    for (name, cells) in &table.rows {
        text.push_str(&line(name, cells));
    }
    text
}
