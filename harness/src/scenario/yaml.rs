//! From a file's bytes to a tree, and what can be wrong on the way.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_saphyr::options::{MergeKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Options, UserMessageFormatter};

use super::error::{Place, Problem};
use super::node::{Node, Value};
use super::words::{nearest, quoted};

/// No scenario needs more; what is larger is some other file.
const MAX_BYTES: u64 = 1024 * 1024;

/// The text of a scenario file.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    let refuse = |what: String| Problem::new(&Place::File, what);
    let unreadable = |error: std::io::Error| refuse(format!("cannot be read ({error})"));

    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => refuse(missing(path)),
        _ => unreadable(error),
    })?;
    if metadata.is_dir() {
        return Err(refuse("is a directory, but must be a scenario file (a .yaml in it)".into()));
    }
    if !metadata.is_file() {
        return Err(refuse("is not a regular file, but must be a scenario (.yaml)".into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse("is over 1 MiB, which no scenario needs (is it another file?)".into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count() as u64;
        let start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&valid[start..]).chars().count() as u64;
        Problem::new(&Place::At { line, column }, "is not UTF-8 (save the file as UTF-8)")
    })
}

fn missing(path: &Path) -> String {
    let siblings = path.parent().and_then(|directory| directory.read_dir().ok());
    let names: Vec<String> = siblings
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("does not exist (did you mean {name}?)"),
        None => "does not exist (`harness list` shows the scenarios)".into(),
    }
}

/// The tree of a YAML text.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let error = error.without_snippet();
        if let (Error::ExternalMessage { .. }, Some(place)) = (error, indenting_tab(text)) {
            return Problem::new(&place, "not valid YAML: a tab indents here (use spaces)");
        }
        let place = match error.location() {
            Some(at) if at != Location::UNKNOWN => {
                Place::At { line: at.line(), column: at.column() }
            }
            _ => Place::File,
        };
        Problem::new(&place, explain(error))
    })
}

/// The first tab in the indentation of a line: the likely cause where the syntax is wrong.
fn indenting_tab(text: &str) -> Option<Place> {
    let column = |line: &str| line.find(|c| c != ' ').filter(|at| line[*at..].starts_with('\t'));
    (1..).zip(text.lines()).find_map(|(line, content)| {
        let column = 1 + column(content)? as u64;
        Some(Place::At { line, column })
    })
}

/// Strict, and bounded far below what could hurt and far above what a scenario needs.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 32,
            // One more than a scenario is, so that the second gets a message of its own.
            max_documents: 2,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 16,
        },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        // A variable of the environment keeps its spelling.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // Refused later, where the message can name the key.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

/// What the parser says of the commonest mistakes, and what helps more.
const OWN_WORDS: &[(&str, &str)] = &[
    (
        "mapping values are not allowed",
        "a `:` cannot stand here (check the indentation, and put text with a colon in quotes)",
    ),
    ("simple key expected", "a key has no `:` after it"),
    ("unclosed quote", "a quote is not closed"),
    ("recursion limit", "too many levels of brackets"),
    ("unexpected character", "a value cannot begin with this sign (put it in quotes)"),
];

fn explain(error: &Error) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {} is given twice (keep one)", quoted(key))
        }
        Error::MultipleDocuments { .. } => {
            "a second YAML document begins, but a scenario is one (remove the `---`)".into()
        }
        Error::MergeKeyNotAllowed { .. } => "`<<` is not supported (write the keys out)".into(),
        Error::UnsupportedTag { tag, .. } => {
            format!("the tag {} is not supported (remove it)", quoted(tag))
        }
        Error::NullIntoString { .. } => "a key is empty (give it a name)".into(),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "the YAML grows beyond what a scenario may hold (write it out, with fewer values, \
             levels or aliases)"
                .into()
        }
        Error::AliasError { error, .. } => explain(error),
        Error::Unexpected { .. } => "a key is not text (give it a name)".into(),
        Error::UnknownAnchor { .. } => "no `&` with this name stands above".into(),
        other => {
            let said = UserMessageFormatter.format_message(other);
            let own = OWN_WORDS.iter().find(|(theirs, _)| said.contains(theirs));
            let text = own.map_or(said.as_ref(), |(_, own)| own);
            format!("not valid YAML: {}", text.replace('\n', " "))
        }
    }
}

/// The tree of a value on the command line.
pub(super) fn parse_argument(text: &str, argument: &Place) -> Result<Node, Problem> {
    let mut node = parse(text).map_err(|problem| Problem::new(argument, problem.what))?;
    if matches!(node.value, Value::Null) && text.trim().is_empty() {
        return Err(Problem::new(argument, "has no value (null removes a key)"));
    }
    node.relocate(argument);
    Ok(node)
}
