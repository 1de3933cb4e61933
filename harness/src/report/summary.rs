//! The summary of a step in continuous integration: Markdown, added to the file that
//! `GITHUB_STEP_SUMMARY` names.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// The variable that names the file.
const VARIABLE: &str = "GITHUB_STEP_SUMMARY";

/// Adds a piece of Markdown, where there is such a file. That it cannot be written is told, and is
/// no verdict.
pub fn add(markdown: &str) {
    let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else { return };
    if let Err(error) = append(Path::new(&path), markdown) {
        crate::report::tell(format_args!(
            "warning: {VARIABLE} names a file that cannot be written: {error}"
        ));
    }
}

fn append(path: &Path, markdown: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // In one write: several runs may add to the file at once.
    file.write_all(format!("{}\n\n", markdown.trim_end()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("summary.md");
        append(&path, "# one\n").unwrap();
        append(&path, "# two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# one\n\n# two\n\n");
    }
}
