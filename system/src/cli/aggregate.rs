//! `ttg aggregate`.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::args::{BrokerArgs, LogArgs};
use super::progress::Shown;
use super::reasons::{Reason, Reasons};
use super::values::seconds;
use super::{Ended, Failed, Hooks, Signals, print, print_json};
use crate::aggregator::{self, Report, Until};
use crate::limit::DeadLetterLimit;
use crate::queue::{Broker, QueueError, Reconcile};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Report what is there, without waiting for the sweep to be complete: exit code 1 where it is not.
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
    /// Wait no longer, and fail, once more chunks than this are dead: so many, or a share such as 5%.
    #[arg(long, env = "MAX_DEAD_LETTERS", value_name = "N|P%")]
    max_dead_letters: Option<DeadLetterLimit>,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// The report, and why there are dead letters where there are some.
#[derive(serde::Serialize)]
struct WithReasons<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dead_letter_reasons: Vec<Reason>,
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    args.log.start();
    let signals = Signals::listen(Duration::ZERO)?;
    let settings = args.broker.settings(hooks)?;
    let broker = signals.unless_asked(hooks.connect(&settings, None)).await?;
    let until = match args.timeout {
        _ if args.now => Until::Read,
        Some(timeout) => Until::CompleteOr(Instant::now() + timeout),
        None => Until::Complete,
    };
    // Whoever only looks changes nothing.
    let keeper = (!args.now).then_some(&*broker as &dyn Reconcile);
    let collection = collect((&*broker, keeper), until, &signals, args.max_dead_letters);
    let (report, given_up) =
        Shown::aggregator(&broker).beside(collection).await.map_err(|error| match error {
            QueueError::SweepLost { .. } => {
                QueueError::SweepLost { place: settings.address.to_string() }
            }
            other => other,
        })?;
    let reasons = Reasons::read(&*broker, &report).await?;
    if args.json {
        print_json(&WithReasons { report: &report, dead_letter_reasons: reasons.listed() })?;
    } else {
        print(format_args!("{report}"))?;
        if args.verbose {
            print(format_args!("\n{}", report.details()))?;
        }
        print(format_args!("{reasons}"))?;
    }
    match signals.number() {
        _ if report.complete => Ok(Ended::Finished),
        0 => given_up.map_or(Ok(Ended::Incomplete), |reason| Err(Failed::Other(reason))),
        signal => Ok(Ended::Interrupted(signal)),
    }
}

/// Collects until the end, a signal, or more dead chunks than the limit allows; the last is said.
async fn collect(
    (broker, keeper): (&dyn Broker, Option<&dyn Reconcile>),
    until: Until,
    signals: &Signals,
    limit: Option<DeadLetterLimit>,
) -> Result<(Report, Option<String>), QueueError> {
    let (enough, stop) = watch::channel(false);
    let collected = aggregator::collect(broker, keeper, until, &stop);
    let stopped = async {
        let given_up = tokio::select! {
            () = signals.asked() => None,
            given_up = exceeded(broker, limit) => Some(given_up?),
        };
        let _ = enough.send(true);
        Ok(given_up)
    };
    let mut collected = std::pin::pin!(collected);
    tokio::select! {
        report = &mut collected => Ok((report?, None)),
        given_up = stopped => {
            let given_up = given_up?;
            Ok((collected.await?, given_up))
        }
    }
}

async fn exceeded(
    broker: &dyn Broker,
    limit: Option<DeadLetterLimit>,
) -> Result<String, QueueError> {
    match limit {
        Some(limit) => limit.exceeded(broker).await,
        None => std::future::pending().await,
    }
}
