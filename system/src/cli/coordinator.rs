//! `ttg coordinator`.

use std::time::Duration;

use super::args::{BrokerArgs, LogArgs, SweepArgs};
use super::memory;
use super::progress::Shown;
use super::{Ended, Failed, Hooks, Signals, print_json};
use crate::coordinator;
use crate::queue::{Address, Settings};

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
    /// On Redis: tasks that are settled give their memory back, a third of what a sweep takes.
    #[arg(long)]
    trim: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

fn can_be_trimmed(address: &Address) -> Result<(), Failed> {
    let why = match address {
        Address::Redis { .. } => return Ok(()),
        Address::RabbitMq(_) => "RabbitMQ keeps no task that is acknowledged",
        Address::Embedded(_) => "a file keeps them on the disk, where they cost no memory",
    };
    Err(Failed::Usage(format!("--trim is of Redis alone: {why} (leave it out)")))
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    args.log.start();
    let sweep = args.sweep.submittable()?;
    let settings = Settings { creates: true, ..args.broker.settings(hooks)? };
    if args.trim {
        can_be_trimmed(&settings.address)?;
    }
    // A step is done or not done, whenever it is given up.
    let submitted = async {
        let broker = hooks.connect(&settings, None).await?;
        if args.reset {
            broker.reset().await?;
        }
        memory::look(&*broker, &settings.address, &sweep, args.trim).await?;
        if args.trim {
            // First of all it must be the sweep that is asked for.
            broker.open(&sweep, args.job_id.as_deref()).await?;
            broker.trim().await?;
        }
        let submission = coordinator::run(&*broker, &sweep, args.job_id.as_deref());
        Ok::<_, Failed>(Shown::coordinator(&broker).beside(submission).await?)
    };
    let summary = Signals::listen(Duration::ZERO)?.unless_asked(submitted).await?;
    print_json(&summary).map(|()| Ended::Finished)
}
