//! How fast the system is, beside bare loops of the same commands that keep no promise:
//! `cargo bench`, and `cargo bench -- --help`.

mod bare;
mod measure;
mod options;
mod outcome;
mod role;
mod row;
mod saved;
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;
mod table;

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::signal::unix::{SignalKind, signal};

use measure::{Deadline, Measure};
use options::{HELP, Options};
use row::Row;
use saved::{Machine, Reserved, Saved};

/// All of it is to take under five minutes, with what ends last.
const ALL: Duration = Duration::from_secs(285);

/// Exit codes.
const MISSED: u8 = 1;
const USAGE: u8 = 64;
const CANNOT_SAVE: u8 = 74;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts it too, but a measurement beside tests is none.
    if !arguments.iter().any(|argument| argument == "--bench") {
        eprintln!("nothing is measured without --bench (see cargo bench -- --help)");
        return ExitCode::SUCCESS;
    }
    let options = Options::read(arguments).map(|it| it.in_directory(&asked_from()));
    match options.and_then(|options| run(&options)) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(USAGE)
        }
    }
}

/// Where cargo was called. It starts what it runs in the directory of the package.
fn asked_from() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let called = std::env::var_os("PWD").map(PathBuf::from).filter(|it| it.is_absolute());
    called.filter(|_| here == Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or(here)
}

fn run(options: &Options) -> Result<u8, String> {
    if options.help {
        print(HELP);
        return Ok(0);
    }
    let chosen = measure::chosen(options);
    if chosen.is_empty() {
        return Err(format!("nothing is called {:?} (see --help)", options.words.join(" ")));
    }
    let against = options.against.as_deref().map(Saved::read).transpose()?;
    let reserved = options.save.as_deref().map(Reserved::new).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let rows = runtime.block_on(async {
        // What is dropped ends its processes and servers.
        tokio::select! {
            biased;
            () = asked_to_stop() => None,
            rows = measured(chosen, against.as_ref()) => Some(rows),
        }
    });
    // A bare loop may be waiting for a server that is gone.
    runtime.shutdown_background();
    let Some(rows) = rows else {
        eprintln!("interrupted: what was started has ended, and nothing was saved");
        return Ok(INTERRUPTED);
    };
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    let unmeasured = rows.iter().filter(|row| !row.is_measured()).count();
    let count = rows.len();
    print(format_args!(
        "\n{count} rows: {missed} missed what is wanted, {unmeasured} without a figure"
    ));
    if let Some(reserved) = reserved {
        match reserved.write(&Saved::of(&rows)) {
            Ok(path) => print(format_args!("saved to {}", path.display())),
            Err(problem) => {
                eprintln!("error: {problem}");
                return Ok(CANNOT_SAVE);
            }
        }
    }
    Ok(if missed + unmeasured == 0 { 0 } else { MISSED })
}

async fn measured(chosen: Vec<Box<dyn Measure>>, against: Option<&Saved>) -> Vec<Row> {
    let begun = Instant::now();
    let deadline = Deadline::at(begun + ALL);
    print(Machine::this());
    print(table::head(against.is_some()));
    let mut rows = Vec::new();
    for measure in chosen {
        eprintln!("{:>4.0} s  {}", begun.elapsed().as_secs_f64(), measure.name());
        let new = measure.measure(&deadline).await;
        print(table::section(&new, against));
        rows.extend(new);
    }
    eprintln!("{:>4.0} s  done", begun.elapsed().as_secs_f64());
    rows
}

/// Where nobody reads it any more, the run can still be saved.
fn print(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn asked_to_stop() {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let Ok(mut signals) = kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>() else {
        return std::future::pending().await;
    };
    select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}
