//! Logs, on standard error: standard output is for results.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::progress::above_the_line;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Levels by the names that existing deployments use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    #[value(alias = "WARN")]
    Warning,
    #[value(alias = "CRITICAL")]
    Error,
}

/// Standard error, above the line that says how far it is, and as far as it can be written: what becomes of
/// a log changes nothing else.
struct Log;

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = above_the_line(|| io::stderr().write_all(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn start(level: Level, format: Format, with_time: bool) {
    let level = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    // It calls an error what we ask for, expect and mend; what matters of it is in our own words.
    let client = if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level).with_target("lapin", client);
    let logs = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Log)
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second start, as in a test, keeps the first.
    let _ = match (format, with_time) {
        (Format::Text, true) => logs.with_target(false).finish().with(targets).try_init(),
        (Format::Text, false) => {
            logs.with_target(false).without_time().finish().with(targets).try_init()
        }
        (Format::Json, true) => logs.json().flatten_event(true).finish().with(targets).try_init(),
        (Format::Json, false) => {
            logs.json().flatten_event(true).without_time().finish().with(targets).try_init()
        }
    };
}
