//! A comparison table as data, before it has a form.

/// A table with a heading for each column but the first, and sentences below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it compares.
    pub title: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Name of the row, and what stands in each column.
    pub rows: Vec<(String, Vec<String>)>,
    /// What must be said besides.
    pub notes: Vec<String>,
}

/// Seconds, as they stand in a table.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
