//! How far a role is, while it goes on: one line on a terminal, which is gone in the end, and elsewhere a
//! line of the log now and then.

mod line;
mod rate;
mod terminal;

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::queue::{Address, Broker, Cursor, Progress};
use crate::so_far::SoFar;
use line::{Line, Role};
use rate::Rate;
use terminal::Terminal;
pub(crate) use terminal::above_the_line;

/// How often the line on a terminal changes.
const LOOK: Duration = Duration::from_secs(1);

/// How often there is a line in the log, where there is no terminal.
const LOG: Duration = Duration::from_secs(10);

/// Dead letters that are read at a time, and how often at a look: the newest is what is shown.
const LETTERS: (usize, usize) = (100, 20);

/// Shows how far a role is.
pub(super) struct Shown {
    role: Role,
    broker: Option<Rc<dyn Broker>>,
    so_far: Rc<SoFar>,
    rate: Rate,
    letters: Cursor,
    dead: u64,
    last_letter: Option<String>,
}

impl Shown {
    /// A coordinator.
    pub(super) fn coordinator(broker: &Rc<dyn Broker>) -> Self {
        Self::of(Role::Submitting, Some(Rc::clone(broker)), Rc::default())
    }

    /// An aggregator.
    pub(super) fn aggregator(broker: &Rc<dyn Broker>) -> Self {
        Self::of(Role::Aggregating, Some(Rc::clone(broker)), Rc::default())
    }

    /// A worker of this name. On RabbitMQ it says only what it does itself: to know of the others, every
    /// worker would read the whole journal.
    pub(super) fn worker(
        name: &str,
        address: &Address,
        broker: &Rc<dyn Broker>,
        so_far: &Rc<SoFar>,
    ) -> Self {
        let sees_all = !matches!(address, Address::RabbitMq(_));
        let broker = sees_all.then(|| Rc::clone(broker));
        Self::of(Role::Working(name.to_owned()), broker, Rc::clone(so_far))
    }

    fn of(role: Role, broker: Option<Rc<dyn Broker>>, so_far: Rc<SoFar>) -> Self {
        Self {
            role,
            broker,
            so_far,
            rate: Rate::default(),
            letters: Cursor::default(),
            dead: 0,
            last_letter: None,
        }
    }

    /// Does the work, and shows meanwhile how far it is.
    pub(super) async fn beside<T>(mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            () = self.go_on() => unreachable!("it goes on for ever"),
        }
    }

    async fn go_on(&mut self) {
        // Dropped with this future, it takes its line away.
        let terminal = Terminal::find();
        let every = if terminal.is_some() { LOOK } else { LOG };
        let mut tick = interval_at(Instant::now() + every, every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let line = self.look().await;
            match &terminal {
                Some(terminal) => terminal.show(&line.to_string()),
                None => line.log(),
            }
        }
    }

    async fn look(&mut self) -> Line {
        let standing = self.standing().await;
        let waiting = self.waiting_for_a_retry().await;
        self.read_letters(standing.map_or(0, |it| it.dead)).await;
        let done = match (&self.role, standing) {
            (Role::Submitting, Some(it)) => it.submitted,
            (_, Some(it)) => it.committed + it.dead,
            (_, None) => self.so_far.chunks(),
        };
        self.rate.add(Instant::now(), done);
        let total = standing.and_then(|it| it.total);
        Line {
            role: self.role.clone(),
            done,
            total,
            per_second: self.rate.per_second(),
            left: total.and_then(|total| self.rate.left(total.saturating_sub(done))),
            own_chunks: self.so_far.chunks(),
            failed: self.so_far.failed_attempts(),
            waiting,
            dead: standing.map_or(0, |it| it.dead),
            last_error: self.so_far.last_error().or_else(|| self.last_letter.clone()),
        }
    }

    /// Nothing where the broker does not answer: whoever works there says so.
    async fn standing(&self) -> Option<Progress> {
        self.broker.as_ref()?.standing_of_late().await.ok()
    }

    async fn waiting_for_a_retry(&self) -> u64 {
        let (Role::Aggregating, Some(broker)) = (&self.role, &self.broker) else { return 0 };
        broker.depths().await.map_or(0, |depths| depths.retry)
    }

    /// Reads the letters that have come since.
    async fn read_letters(&mut self, dead: u64) {
        let (Role::Aggregating, Some(broker)) = (&self.role, &self.broker) else { return };
        if dead == self.dead {
            return;
        }
        self.dead = dead;
        let (size, pages) = LETTERS;
        for _ in 0..pages {
            match broker.dead_letters(&mut self.letters, size).await {
                Ok(page) if !page.is_empty() => {
                    self.last_letter = page.into_iter().next_back().map(|letter| letter.last_error);
                }
                _ => return,
            }
        }
    }
}
