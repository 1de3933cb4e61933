//! `ttg coordinator`.

use std::time::Duration;

use super::args::{BrokerArgs, LogArgs, SweepArgs};
use super::{Ended, Failed, Hooks, Signals, print_json};
use crate::coordinator;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sweep: SweepArgs,
    /// Name of the job; a coordinator of another job is refused.
    #[arg(long, env = "JOB_ID", help_heading = "Sweep")]
    job_id: Option<String>,
    /// Discard the sweep that the broker holds, results and all, before this one is submitted.
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    args.log.start();
    let sweep = args.sweep.sweep()?;
    let settings = args.broker.settings(hooks)?;
    // A step is done or not done, whenever it is given up.
    let submitted = async {
        let broker = hooks.connect(&settings, None).await?;
        if args.reset {
            broker.reset().await?;
        }
        coordinator::run(&*broker, &sweep, args.job_id.as_deref()).await
    };
    let summary = Signals::listen(Duration::ZERO)?.unless_asked(submitted).await?;
    print_json(&summary).map(|()| Ended::Finished)
}
