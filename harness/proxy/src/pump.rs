//! One direction of a connection: what arrives at one side goes on to the other, as the rules say.

use std::io;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::direction::Direction;
use crate::held::{Delays, Held, ROOM};
use crate::hooks::{Gate, Moment, Passage};
use crate::rule::{Rule, Rules};

/// How a direction came to its end.
pub(crate) enum Finish {
    /// All that the source has sent went on, and its end as well.
    Passed,
    /// Nobody takes what the source sends. What the other one still has to say may go on.
    NoSink,
}

/// The source broke: it takes nothing any more either.
pub(crate) struct NoSource;

/// How a source's stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    End,
    Break,
    /// It vanished. The connection stays until the rule is lifted that made it vanish.
    Nothing,
}

/// What may go on now.
enum Next {
    /// Nothing, until something arrives or the rules change.
    Nothing,
    /// Nothing until then.
    At(Instant),
    /// So many bytes at most, and the stream's end if there are none left.
    Piece(usize),
}

/// Carries the bytes of one direction of one connection, as the rules in force allow.
pub(crate) struct Pump {
    connection: u64,
    way: Direction,
    rules: watch::Receiver<Rules>,
    held: Held,
    last: Option<Last>,
    /// When bytes last went on.
    passed: Option<Instant>,
    /// The rules that what is held waits for, and up to where it was counted as waiting.
    waits: Vec<(u64, u64)>,
}

impl Pump {
    pub(crate) fn new(connection: u64, way: Direction, rules: watch::Receiver<Rules>) -> Self {
        let held = Held::default();
        Self { connection, way, rules, held, last: None, passed: None, waits: Vec::new() }
    }

    /// Carries bytes until the source's end has gone on, or either side breaks.
    pub(crate) async fn run(
        mut self,
        source: ReadHalf<'_>,
        mut sink: WriteHalf<'_>,
    ) -> Result<Finish, NoSource> {
        let mut scratch = vec![0; ROOM];
        loop {
            // Sockets that are always ready would leave no time to anything else.
            consume_budget().await;
            let rules = self.in_force();
            let next = self.next(&rules);
            let room = self.room(&rules).min(scratch.len());
            let (at, most) = match next {
                Next::Nothing => (None, None),
                Next::At(at) => (Some(at), None),
                Next::Piece(most) => (None, Some(most)),
            };
            if most == Some(0) {
                return self.end(&mut sink).await;
            }
            tokio::select! {
                biased;
                // It fails when the proxy has ended, and this with it.
                _ = self.rules.changed() => {}
                () = until(at) => {}
                ready = sink.writable(), if most.is_some() => {
                    let most = most.unwrap_or_default();
                    let written = ready.and_then(|()| sink.try_write(&self.held.first().0[..most]));
                    match written {
                        Ok(bytes) => self.pass(&rules, bytes),
                        Err(error) if is_nothing_yet(&error) => {}
                        Err(_) => return Ok(Finish::NoSink),
                    }
                }
                ready = source.readable(), if room > 0 => {
                    match ready.and_then(|()| source.try_read(&mut scratch[..room])) {
                        Ok(0) => self.arrive_last(&rules, Last::End),
                        Ok(bytes) => self.arrive(&rules, &scratch[..bytes]),
                        Err(error) if is_nothing_yet(&error) => {}
                        Err(_) => self.arrive_last(&rules, Last::Break),
                    }
                }
            }
        }
    }

    async fn end(&self, sink: &mut WriteHalf<'_>) -> Result<Finish, NoSource> {
        if self.last == Some(Last::Break) {
            return Err(NoSource);
        }
        match sink.shutdown().await {
            Ok(()) => Ok(Finish::Passed),
            Err(_) => Ok(Finish::NoSink),
        }
    }

    fn in_force(&mut self) -> Rules {
        let (rules, way) = (self.rules.borrow_and_update(), self.way);
        if rules.iter().all(|rule| rule.direction.covers(way)) {
            return Rc::clone(&rules);
        }
        rules.iter().filter(|rule| rule.direction.covers(way)).cloned().collect()
    }

    fn moment(&self) -> Moment {
        Moment { now: Instant::now(), way: self.way, last: self.passed }
    }

    fn room(&self, rules: &Rules) -> usize {
        if self.last.is_some() {
            0
        } else if rules.iter().any(|rule| rule.hooks.swallows()) {
            ROOM
        } else {
            let room = rules.iter().map(|rule| rule.hooks.room()).max();
            self.held.room(room.unwrap_or(ROOM))
        }
    }

    fn arrive(&mut self, rules: &Rules, bytes: &[u8]) {
        let count = bytes.len() as u64;
        if self.vanishes(rules, count) {
            return;
        }
        let delays = self.delays(rules, count);
        self.held.push(bytes, Instant::now(), delays);
    }

    fn arrive_last(&mut self, rules: &Rules, last: Last) {
        if self.vanishes(rules, 0) {
            self.last = Some(Last::Nothing);
            return;
        }
        let delays = self.delays(rules, 0);
        self.held.push_end(Instant::now(), delays);
        self.last = Some(last);
    }

    fn vanishes(&self, rules: &Rules, bytes: u64) -> bool {
        let mut vanishes = false;
        for rule in rules.iter().filter(|rule| rule.hooks.swallows()) {
            rule.tally.count(self.connection, |effect| effect.vanished += bytes);
            vanishes = true;
        }
        vanishes
    }

    fn delays(&self, rules: &Rules, bytes: u64) -> Delays {
        let delay = |rule: &Rc<Rule>| {
            let delay = rule.hooks.delay()?;
            rule.tally.count(self.connection, |effect| effect.delayed += bytes);
            Some((rule.id, delay))
        };
        rules.iter().filter_map(delay).collect()
    }

    fn next(&mut self, rules: &Rules) -> Next {
        let Some(due) = self.held.due(|id| rules.iter().any(|rule| rule.id == id)) else {
            return Next::Nothing;
        };
        let together = self.held.first().0.len();
        if rules.is_empty() {
            return Next::Piece(together);
        }
        let moment = self.moment();
        let (mut at, mut is_shut, mut most) = (due, false, together);
        for rule in rules.iter() {
            most = most.min(rule.hooks.most());
            match rule.hooks.gate(&moment) {
                Gate::Open => {}
                Gate::At(opens) => {
                    if opens > moment.now {
                        self.waits_for(rule.id);
                    }
                    at = at.max(opens);
                }
                Gate::Shut => {
                    is_shut = true;
                    let held = self.waits_for(rule.id);
                    if held > 0 {
                        rule.tally.count(self.connection, |effect| effect.held += held);
                    }
                }
            }
        }
        match at {
            _ if is_shut => Next::Nothing,
            at if at > moment.now => Next::At(at),
            _ => Next::Piece(most),
        }
    }

    /// What is held waits for a rule. How many bytes have not been counted yet that do.
    fn waits_for(&mut self, rule: u64) -> u64 {
        let (gone, arrived) = (self.held.gone(), self.held.arrived());
        match self.waits.iter_mut().find(|(id, _)| *id == rule) {
            Some((_, counted)) => arrived - std::mem::replace(counted, arrived),
            None => {
                self.waits.push((rule, arrived));
                arrived - gone
            }
        }
    }

    fn pass(&mut self, rules: &Rules, bytes: usize) {
        let ready = self.held.first().1;
        self.held.pop(bytes);
        if rules.is_empty() {
            return;
        }
        let (moment, connection) = (self.moment(), self.connection);
        for rule in rules.iter() {
            let waited = self.waits.iter().any(|(id, _)| *id == rule.id);
            let passage = Passage { connection, bytes, ready, waited };
            rule.hooks.passed(&moment, &passage, &rule.tally);
        }
        self.waits.clear();
        self.passed = Some(moment.now);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
