//! A sweep from its submission to its report.
//!
//! In a long sweep, workers are killed when all of it is open, and again when nearly all of it is
//! settled. The workers whose rate is measured do not run then, and only their own chunks and their own
//! time count.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;
use ttg_system::queue::{self, Settings};

use super::figures::Figures;
use super::results::{Results, Stored};
use super::{
    AGGREGATE, AGGREGATOR_MEMORY, ALL_OPEN, BARE, CHUNKS, CHUNKS_TO_EXIT, COORDINATOR_MEMORY,
    FEWER_BARE_CHUNKS, FIRST_RESULT, LAST_LEAVES, LATE_LEAVES, NEARLY_SETTLED, NoOpSweep, Phase,
    SUBMIT, WORKER_MEMORY,
};
use crate::bare;
use crate::measure::{Deadline, ms, recovery};
use crate::outcome::{Outcome, failed};
use crate::role::{Ended, Role, Stopper, all_ended, ended};
use crate::row::quantile;
use crate::server::Server;

const WORKERS: u32 = 3;

/// The number of the worker that comes when all is done.
const LATE: u32 = 50;

/// After so long a step is given up.
const STEP: Duration = Duration::from_secs(60);

/// The same for the bare loop and its submission.
const BARE_STEP: Duration = Duration::from_secs(100);

/// The bare loop is shortened by so many chunks at a time.
const BARE_STEPS: u64 = 10_000;

/// Percentage of a long sweep that is settled before its second takeovers.
const NEARLY_ALL: u64 = 95;

/// More chunks than the workers that were stopped may have had: after the settled ones, so many may come in
/// any order.
const GIVEN_BACK: u64 = 1_000;

/// How soon, and how late at most, a broker is asked again how much is settled: no event tells.
const SETTLED_POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

pub(super) struct Run<'a> {
    of: &'a NoOpSweep,
    deadline: &'a Deadline,
    settings: &'a Settings,
    figures: &'a mut Figures,
    /// What the submission and the chunks took.
    took: Duration,
}

/// Workers that ran together.
struct Crew {
    numbers: Range<u32>,
    begun_ms: f64,
    exit_ms: f64,
    peak_mb: f64,
}

/// What crews came to, one after the other.
#[derive(Default)]
struct Worked {
    chunks: f64,
    /// From the start of the workers to the first result; of several crews, of the one that took longest.
    starts_ms: f64,
    /// From the first result to the last.
    stores_ms: f64,
    /// From the start of the workers to the last exit.
    to_exit_ms: f64,
    /// From the last result to the last exit.
    leaves_ms: f64,
}

impl Run<'_> {
    /// Where a step fails, those that need it are skipped.
    pub(super) async fn figures_of(of: &NoOpSweep, deadline: &Deadline) -> Figures {
        let mut figures = Figures::default();
        let first = if of.parts.rates { SUBMIT } else { ALL_OPEN.longest };
        let server = figures.keep(first, Server::start(of.backend, deadline).await);
        let Some(server) = server else { return figures };
        for _ in 0..of.repetitions {
            let settings = &server.settings;
            let mut run =
                Run { of, deadline, settings, figures: &mut figures, took: Duration::ZERO };
            if run.once(first).await.is_none() {
                break;
            }
        }
        figures
    }

    /// None where a step failed, and what comes next needs it.
    async fn once(&mut self, first: &'static str) -> Option<()> {
        self.submit(first).await?;
        if self.of.parts.takeovers {
            self.takeovers(ALL_OPEN, 0).await;
        }
        if self.of.is_long() {
            self.compute_long().await?;
        } else if self.of.parts.rates {
            self.compute().await?;
        }
        if self.of.parts.rates {
            self.bare_loop().await?;
        }
        Some(())
    }

    async fn submit(&mut self, first: &'static str) -> Option<()> {
        let submitted = self.ended(|settings| Role::coordinator(settings, self.of.chunks)).await;
        let submitted = self.figures.keep(first, submitted)?;
        self.took += submitted.took;
        self.figures.add(SUBMIT, self.rate(submitted.took));
        self.figures.add(COORDINATOR_MEMORY, submitted.peak_mb);
        Some(())
    }

    async fn takeovers(&mut self, phase: Phase, in_order: u64) {
        match recovery::takeovers(self.settings, in_order, self.deadline).await {
            Ok(times) => {
                for (row, share) in [(phase.median, 0.5), (phase.longest, 1.0)] {
                    if let Some(time) = quantile(&times, share) {
                        self.figures.add(row, time);
                    }
                }
            }
            Err(why) => {
                for row in [phase.median, phase.longest] {
                    self.figures.keep(row, Err::<(), _>(why.clone()));
                }
            }
        }
    }

    /// All chunks in one go.
    async fn compute(&mut self) -> Option<()> {
        let all = self.crew(1, None).await;
        let all = self.figures.keep(CHUNKS, all)?;
        self.finish(&[all]).await
    }

    /// Most of the chunks, and after more takeovers the rest.
    async fn compute_long(&mut self) -> Option<()> {
        let row = if self.of.parts.rates { CHUNKS } else { NEARLY_SETTLED.longest };
        let most = self.crew(1, Some(self.of.chunks * NEARLY_ALL / 100)).await;
        let most = self.figures.keep(row, most)?;
        if self.of.parts.takeovers {
            let settled = self.settled().await;
            let settled = self.figures.keep(NEARLY_SETTLED.longest, settled)?;
            self.takeovers(NEARLY_SETTLED, settled + GIVEN_BACK).await;
        }
        if !self.of.parts.rates {
            return Some(());
        }
        let rest = self.crew(1 + WORKERS, None).await;
        let rest = self.figures.keep(CHUNKS, rest)?;
        self.finish(&[most, rest]).await
    }

    /// Workers of these numbers, until so many chunks are settled or else until the sweep is complete.
    async fn crew(&self, first: u32, until: Option<u64>) -> Outcome<Crew> {
        let numbers = first..first + WORKERS;
        let bound = self.deadline.bound(STEP)?;
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?;
        let workers = numbers.clone().map(|number| Role::worker(self.settings, number, 0));
        let workers = workers.collect::<Outcome<Vec<_>>>()?;
        let stoppers: Vec<_> = workers.iter().map(Role::stopper).collect();
        let mut exit = std::pin::pin!(all_ended(workers, bound));
        let ended = match until {
            None => exit.await?,
            Some(until) => tokio::select! {
                ended = &mut exit => ended?,
                settled = self.wait_until_settled(until) => {
                    settled?;
                    stoppers.iter().for_each(Stopper::stop);
                    exit.await?
                }
            },
        };
        let most = |figure: fn(&Ended) -> f64| ended.iter().map(figure).fold(0.0, f64::max);
        let (exit_ms, peak_mb) = (most(|it| it.at_ms), most(|it| it.peak_mb));
        Ok(Crew { numbers, begun_ms: ms(begun), exit_ms, peak_mb })
    }

    async fn wait_until_settled(&self, chunks: u64) -> Outcome<()> {
        let broker = queue::connect(self.settings, None).await.map_err(failed)?;
        let begun = Instant::now();
        loop {
            let settled = broker.depths().await.map_err(failed)?.results;
            let Some(left) = chunks.checked_sub(settled).filter(|left| *left > 0) else {
                return Ok(());
            };
            // Half-way to the moment at which it should be as many: quick workers would finish the sweep before a
            // fixed time is over.
            let due = begun.elapsed().mul_f64(left as f64 / settled.max(1) as f64);
            sleep((due / 2).clamp(SETTLED_POLL.0, SETTLED_POLL.1)).await;
        }
    }

    async fn settled(&self) -> Outcome<u64> {
        let broker = queue::connect(self.settings, None).await.map_err(failed)?;
        Ok(broker.depths().await.map_err(failed)?.results)
    }

    /// What can be told when every chunk is settled.
    async fn finish(&mut self, crews: &[Crew]) -> Option<()> {
        let worked = self.worked(crews).await;
        let Worked { chunks, starts_ms, stores_ms, to_exit_ms, leaves_ms } =
            self.figures.keep(CHUNKS, worked)?;
        self.took += Duration::from_secs_f64(to_exit_ms / 1000.0);
        self.figures.add(FIRST_RESULT, starts_ms);
        self.figures.add(CHUNKS, chunks * 1000.0 / stores_ms);
        self.figures.add(CHUNKS_TO_EXIT, chunks * 1000.0 / to_exit_ms);
        self.figures.add(LAST_LEAVES, leaves_ms);
        let peaks = crews.iter().map(|crew| crew.peak_mb);
        self.figures.add(WORKER_MEMORY, peaks.fold(0.0, f64::max));
        let late = self.ended(|settings| Role::worker(settings, LATE, 0)).await;
        let late = self.figures.keep(LATE_LEAVES, late)?;
        self.figures.add(LATE_LEAVES, ms(late.took));
        let aggregate = ["aggregate", "--json"];
        let aggregated = self.ended(|settings| Role::start(settings, &aggregate)).await;
        let aggregated = self.figures.keep(AGGREGATE, aggregated)?;
        self.figures.add(AGGREGATE, self.rate(aggregated.took));
        self.figures.add(AGGREGATOR_MEMORY, aggregated.peak_mb);
        Some(())
    }

    async fn worked(&self, crews: &[Crew]) -> Outcome<Worked> {
        let broker = queue::connect(self.settings, None).await.map_err(failed)?;
        let results = Results::read(&*broker, self.of.chunks).await?;
        let mut worked = Worked::default();
        for crew in crews {
            let Stored { count, first_ms, last_ms } = results.of(crew.numbers.clone())?;
            worked.chunks += count as f64;
            worked.starts_ms = worked.starts_ms.max(first_ms as f64 - crew.begun_ms);
            worked.stores_ms += (last_ms - first_ms) as f64;
            worked.to_exit_ms += crew.exit_ms - crew.begun_ms;
            worked.leaves_ms = crew.exit_ms - last_ms as f64;
        }
        Ok(worked)
    }

    async fn bare_loop(&mut self) -> Option<()> {
        let bound = self.figures.keep(BARE, self.deadline.bound(BARE_STEP))?;
        let chunks = self.bare_chunks(bound);
        if chunks < self.of.chunks {
            self.figures.add(FEWER_BARE_CHUNKS, chunks as f64);
        }
        let rate = bare::rate(self.of.backend, self.settings, (chunks, WORKERS), bound).await;
        let rate = self.figures.keep(BARE, rate)?;
        self.figures.add(BARE, rate);
        Some(())
    }

    /// As many chunks as the sweep has, or as there is time for: as long a queue costs the same, and a shorter one
    /// less, so the share is then rather too low than too high.
    fn bare_chunks(&self, bound: Duration) -> u64 {
        let share = bound.as_secs_f64() / self.took.as_secs_f64().max(f64::EPSILON);
        let fitting = (self.of.chunks as f64 * share) as u64 / BARE_STEPS * BARE_STEPS;
        fitting.clamp(BARE_STEPS, self.of.chunks.max(BARE_STEPS))
    }

    /// Starts a role, and waits for its end.
    async fn ended(&self, start: impl FnOnce(&Settings) -> Outcome<Role>) -> Outcome<Ended> {
        let bound = self.deadline.bound(STEP)?;
        ended(start(self.settings)?, bound).await
    }

    /// Chunks per second.
    fn rate(&self, took: Duration) -> f64 {
        self.of.chunks as f64 / took.as_secs_f64()
    }
}
