//! `ttg aggregate`.

use std::time::Duration;

use tokio::time::Instant;

use super::args::{BrokerArgs, LogArgs, seconds};
use super::{Ended, Failed, Hooks, print, print_json, stop_signal};
use crate::aggregator::{self, Until};
use crate::queue::{QueueError, Reconcile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Report what is there, without waiting for the sweep to be complete.
    #[arg(long)]
    now: bool,
    /// Wait no longer than this many seconds for the sweep to be complete.
    #[arg(long, value_parser = seconds, conflicts_with = "now")]
    timeout: Option<Duration>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Say more about each worker.
    #[arg(long, conflicts_with = "json")]
    verbose: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    args.log.start();
    let (stop, signal) = stop_signal()?;
    let settings = args.broker.settings(hooks)?;
    let broker = hooks.connect(&settings, None).await?;
    let until = match args.timeout {
        _ if args.now => Until::Read,
        Some(timeout) => Until::CompleteOr(Instant::now() + timeout),
        None => Until::Complete,
    };
    // Whoever only looks changes nothing.
    let keeper = (!args.now).then_some(&*broker as &dyn Reconcile);
    let report = aggregator::collect(&*broker, keeper, until, &stop).await;
    let report = report.map_err(|error| match error {
        QueueError::SweepLost { .. } => {
            QueueError::SweepLost { place: settings.address.to_string() }
        }
        other => other,
    })?;
    if args.json {
        print_json(&report);
    } else {
        print(format_args!("{report}"));
        if args.verbose {
            print(format_args!("\n{}", report.details()));
        }
    }
    Ok(match *signal.borrow() {
        _ if report.complete || args.now => Ended::Finished,
        0 => Ended::Incomplete,
        signal => Ended::Interrupted(signal),
    })
}
