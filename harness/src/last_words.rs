//! What a process said last: the lines that are kept, the one that tells most, and how they are shown
//! as lines of evidence.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::words::{quoted, quoted_to};

/// How much of a log's end is looked at, in bytes.
const TAIL: u64 = 8192;

/// So many lines are kept, and so many bytes.
const KEPT: (usize, usize) = (10, 2048);

/// Longest line that is shown, in characters.
const LONGEST: usize = 200;

/// What a line of evidence begins with that goes on with the one above it.
pub(crate) const GOES_ON: &str = "  ";

/// What a traceback of Python begins with.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// The last lines of a log, one below the other; a traceback at its end without what came before it.
pub(crate) fn of_log(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|it| !it.is_empty()).collect();
    let mut kept = &lines[lines.len().saturating_sub(KEPT.0)..];
    if let Some(at) = kept.iter().rposition(|line| line.trim_start() == TRACEBACK) {
        kept = &kept[at..];
    }
    let mut room = KEPT.1;
    let fits = |line: &&&str| {
        let left = room.checked_sub(line.len() + 1);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let fitting = kept.iter().rev().take_while(fits).count();
    let kept = match &kept[kept.len() - fitting..] {
        // A single line that is too long is cut off.
        [] => return lines.last().map(|line| quoted_to(line, KEPT.1 / 4)),
        kept => kept,
    };
    Some(kept.join("\n"))
}

/// The last lines of a log that is a file, if it is there.
pub(crate) fn of_file(path: &Path) -> Option<String> {
    let mut log = File::open(path).ok()?;
    let length = log.seek(SeekFrom::End(0)).ok()?;
    log.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    log.take(TAIL).read_to_end(&mut tail).ok()?;
    of_log(&String::from_utf8_lossy(&tail))
}

/// How a log ends, in lines of their own, for the end of an error.
pub(crate) fn ending(log: &Path) -> String {
    match of_file(log) {
        Some(said) => evidence("its log ends", &said),
        None => "it wrote no log".to_owned(),
    }
}

/// Of several lines the one that tells why: the last, but for what runtimes add below it. Of a
/// failure that goes on in lines of its own, its first words come before that.
pub(crate) fn telling(said: &str) -> String {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let first = lines.clone().next().unwrap_or_default().trim();
    let line = lines.rfind(|line| !is_appended(line)).unwrap_or(first).trim();
    let line = quoted(line.strip_prefix("error: ").unwrap_or(line));
    match first.strip_suffix(':') {
        Some(begun) if first != TRACEBACK && !line.starts_with(begun) => {
            quoted_to(&format!("{begun}: {line}"), LONGEST + 100)
        }
        _ => line,
    }
}

/// What comes below the reason: advice, frames, the version of a runtime.
fn is_appended(line: &str) -> bool {
    let line = line.trim_start();
    ["note: ", "Node.js v", "at ", "stack backtrace:"].iter().any(|it| line.starts_with(it))
}

/// A text in which whatever differs from one chunk, process or moment to another is the same.
pub(crate) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            c => masked.push(c),
        }
    }
    masked
}

/// Lines of evidence: what happened, and what was said, in lines of its own where it has several.
pub(crate) fn evidence(what: &str, said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines[..] {
        [] => what.to_owned(),
        [line] => format!("{what}: {}", quoted(line)),
        _ => {
            let below = lines.iter().map(|line| format!("\n{GOES_ON}{}", shown(line)));
            format!("{what}:{}", below.collect::<String>())
        }
    }
}

/// A line from outside with its indentation, safe in a report.
pub(crate) fn shown(line: &str) -> String {
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    format!("{}{}", " ".repeat(indent.min(16)), quoted_to(line, LONGEST))
}

/// Evidence that goes on in further lines, line by line.
pub(crate) fn line_by_line(evidence: &[String]) -> Vec<String> {
    evidence.iter().flat_map(|entry| entry.lines().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "\
INFO worker starts
Traceback (most recent call last):
  File \"mini.py\", line 3, in <module>
    import numpy
ModuleNotFoundError: No module named 'numpy'
";

    #[test]
    fn a_traceback_is_kept_as_lines_and_its_last_line_tells() {
        let said = of_log(PYTHON).unwrap();
        assert!(said.starts_with(TRACEBACK), "{said}");
        assert_eq!(telling(&said), "ModuleNotFoundError: No module named 'numpy'");
        insta::assert_snapshot!(evidence("worker-0 exited with code 1, and said", &said), @r#"
        worker-0 exited with code 1, and said:
          Traceback (most recent call last):
            File "mini.py", line 3, in <module>
              import numpy
          ModuleNotFoundError: No module named 'numpy'
        "#);
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = of_log(&many).unwrap();
        assert_eq!((kept.lines().count(), kept.lines().next()), (10, Some("line 90")));
        let long = "é".repeat(3000);
        assert!(of_log(&long).unwrap().len() <= KEPT.1);
        let two = of_log(&format!("{long}\nshort")).unwrap();
        assert_eq!(two, "short");
        assert_eq!(of_log(" \n\n"), None);
    }

    #[test]
    fn what_a_runtime_adds_below_the_reason_tells_nothing() {
        let rust = "thread 'main' panicked at src/x.rs:1:2:\nout of cheese\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(telling(rust), "thread 'main' panicked at src/x.rs:1:2: out of cheese");
        let node = "Error: no such thing\n    at run (x.js:1:1)\nNode.js v20.1.0";
        assert_eq!(telling(node), "Error: no such thing");
        assert_eq!(
            telling("error: cannot start \"x\": not found"),
            "cannot start \"x\": not found"
        );
        assert_eq!(telling(""), "");
    }

    #[test]
    fn a_failure_with_lines_of_its_own_begins_with_its_first_words() {
        let said = format!("the kernel ended without an answer (exit status: 1):\n{PYTHON}");
        assert_eq!(
            telling(&said),
            "the kernel ended without an answer (exit status: 1): ModuleNotFoundError: No module \
             named 'numpy'"
        );
    }

    #[test]
    fn numbers_do_not_make_two_reasons_of_one() {
        assert_eq!(masked("no luck with 00007"), masked("no luck with 31"));
        assert_ne!(masked("no luck with 7"), masked("no cheese with 7"));
    }
}
