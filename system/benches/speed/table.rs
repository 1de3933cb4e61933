//! The table.

use crate::outcome::{Outcome, Unmeasured};
use crate::row::{Row, Unit, Wanted, median};
use crate::saved::Saved;

const WIDTH: usize = 80;

pub(crate) fn head(against: bool) -> String {
    let was = if against { "before" } else { "" };
    line(["", "median", "bare loop", "share", was, "wanted"], "")
}

/// The rows of one measurement, under the title of each of its parts.
pub(crate) fn section(rows: &[Row], against: Option<&Saved>) -> String {
    let parts = rows.chunk_by(|a, b| a.title() == b.title());
    let lines = parts.flat_map(|part| {
        let repetitions = part.iter().filter_map(|row| Some(row.samples.as_ref().ok()?.len()));
        let title = match repetitions.max() {
            None | Some(0) => part[0].title().to_owned(),
            Some(1) => format!("{}, once", part[0].title()),
            Some(times) => format!("{}, {times} times", part[0].title()),
        };
        std::iter::once(title).chain(part.iter().map(|row| shown(row, against)))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn shown(row: &Row, against: Option<&Saved>) -> String {
    let told = |samples: &Outcome<Vec<f64>>| match samples {
        Ok(samples) => median(samples).map_or("-".to_owned(), |it| figure(it, row.unit)),
        Err(Unmeasured::Failed(_)) => "error".to_owned(),
        Err(other) => other.to_string(),
    };
    let bare = row.bare.as_ref().map(told).unwrap_or_default();
    let share = row.share().map(|share| format!("{share:.2}")).unwrap_or_default();
    let wanted = match row.wanted {
        None => String::new(),
        Some(Wanted::OfBare(least)) => format!(">= {least:.2}"),
        Some(Wanted::AtMost(most)) => format!("<= {most:.0} ms"),
    };
    let before = against.and_then(|saved| saved.figure(&row.name)).zip(row.figure());
    let before = before.map(|(was, is)| format!("{:+.0} %", (is / was - 1.0) * 100.0));
    let before = before.unwrap_or_default();
    let mark = if row.is_missed() { "missed" } else { "" };
    let name = format!("  {}", row.what());
    let mut text = line([&name, &told(&row.samples), &bare, &share, &before, &wanted], mark);
    let samples = std::iter::once(&row.samples).chain(&row.bare);
    let failures = samples.filter_map(|samples| match samples {
        Err(failure @ Unmeasured::Failed(_)) => Some(failure.to_string()),
        _ => None,
    });
    for remark in row.note.iter().cloned().chain(failures) {
        text.push_str("\n    ");
        text.extend(remark.chars().take(WIDTH - 4));
    }
    text
}

fn line([name, figure, bare, share, before, wanted]: [&str; 6], mark: &str) -> String {
    let text = format!("{name:<28}{figure:>11}{bare:>11}{share:>6}{before:>7}{wanted:>10} {mark}");
    text.trim_end().to_owned()
}

fn figure(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::PerSecond => format!("{figure:.0} /s"),
        Unit::Milliseconds if figure < 10.0 => format!("{figure:.1} ms"),
        Unit::Milliseconds => format!("{figure:.0} ms"),
        Unit::Megabytes => format!("{figure:.1} MB"),
    }
}
