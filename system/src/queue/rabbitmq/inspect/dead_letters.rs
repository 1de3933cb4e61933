//! Dead letters: taken from their queue page by page, and put back where they are kept.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Message;
use lapin::options::BasicAckOptions;
use tokio::time::{Instant, sleep};

use super::peek;
use crate::queue::letters::{Course, replayed};
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::{Life, Turn};
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::journal::record::{self, Doubt};
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::{DeadLetters, Decide, Decision, Result};
use crate::wire::{self, DeadLetter};

/// Letters that go together, once the server has confirmed what becomes of them.
const STEP: usize = 250;

/// How long the queue may hold less than the journal knows of. What somebody has had who was killed, or
/// is gone, comes back into it when his lock is free already.
const SETTLED: Duration = Duration::from_secs(1);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// One sifting.
struct Sifting<'a, 'b> {
    decide: RefCell<&'a mut Decide<'b>>,
    course: Course,
    /// Letters that were shown.
    shown: Cell<u64>,
    /// Chunks that are open again.
    opened: RefCell<BTreeSet<u64>>,
    /// Why it broke off.
    cause: RefCell<String>,
}

#[async_trait(?Send)]
impl DeadLetters for RabbitMq {
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<u64> {
        let sifting = Sifting {
            decide: RefCell::new(decide),
            course: Course::default(),
            shown: Cell::new(0),
            opened: RefCell::default(),
            cause: RefCell::new("the connection broke among the dead letters".to_owned()),
        };
        let sifted = self.client.alone(async |life| {
            if sifting.shown.get() > 0 {
                // Nobody is asked about the same letter twice.
                return Err(BrokerError { cause: sifting.cause.borrow().clone(), is_final: true });
            }
            let sifted = self.sift_all(life, &sifting).await;
            sifted.inspect_err(|error| drop(sifting.cause.replace(error.cause.clone())))
        });
        sifted.await.map_err(|cause| sifting.course.broken_off(cause))
    }
}

impl RabbitMq {
    /// Sifts what is in the queue; how much more the journal knows of.
    async fn sift_all(&self, life: &Life, sifting: &Sifting<'_, '_>) -> Outcome<u64> {
        self.journal.read_on(life).await?;
        let known = self.journal.letters_there();
        let there = self.letters_in_queue(life, known).await?;
        sifting.course.begin(known.max(there));
        peek::pages(life, &self.queues.letters, async |page| {
            for letters in page.chunks(STEP) {
                self.sift_some(life, letters, sifting).await?;
            }
            Ok(())
        })
        .await?;
        Ok(known.saturating_sub(sifting.shown.get()))
    }

    /// How many letters the queue holds, once those are there of which the journal knows, or no more come.
    async fn letters_in_queue(&self, life: &Life, known: u64) -> Outcome<u64> {
        let (mut most, mut since) = (0, Instant::now());
        loop {
            let there = life.depth(&self.queues.letters).await?.messages.into();
            if there > most {
                (most, since) = (there, Instant::now());
            }
            if there >= known || since.elapsed() >= SETTLED {
                return Ok(there);
            }
            sleep(LOOK).await;
        }
    }

    /// Does with letters what is decided. They go last: after whatever breaks before that, they are there
    /// again, and the journal shows what was done.
    async fn sift_some(
        &self,
        life: &Life,
        letters: &[Message],
        sifting: &Sifting<'_, '_>,
    ) -> Outcome<()> {
        let (mut turn, mut outgoing, mut going) = (Turn::begin(), Vec::new(), Vec::new());
        for message in letters {
            turn.give_way().await;
            sifting.shown.set(sifting.shown.get() + 1);
            let text = String::from_utf8_lossy(&message.data);
            let letter = DeadLetter::from_fields(wire::from_json(&text));
            let decision = (*sifting.decide.borrow_mut())(&letter);
            let goes = match decision {
                Decision::Keep => false,
                Decision::Drop => true,
                Decision::Replay => {
                    self.replay(&letter, &mut sifting.opened.borrow_mut(), &mut outgoing)
                }
            };
            if goes {
                outgoing.push(record::gone(&self.queues, text.into_owned()));
                going.push(message);
            }
        }
        life.publish(&outgoing).await?;
        for letter in &going {
            turn.give_way().await;
            letter.acker.ack(BasicAckOptions::default()).await?;
        }
        // Nobody confirms that; but what is asked after it is answered after it.
        life.depth(&self.queues.letters).await?;
        sifting.course.goes_on(going.len());
        Ok(())
    }

    /// Adds the task of a letter to what is published; whether the letter may go. Twice, where the
    /// connection breaks before that: the journal shows that the second is settled.
    fn replay(
        &self,
        letter: &DeadLetter,
        opened: &mut BTreeSet<u64>,
        outgoing: &mut Vec<Outgoing>,
    ) -> bool {
        let sweep = self.journal.sweep().map(|info| info.sweep);
        let Ok(task) = replayed(letter, sweep.as_ref()) else { return false };
        let chunk = task.chunk.index;
        if self.journal.is_committed(chunk) || !opened.insert(chunk) {
            return true;
        }
        let message = Outgoing::task(&self.queues, &task);
        // A replay that broke off has brought it to the journal at least.
        outgoing.push(match self.journal.is_dead(chunk) {
            true => message,
            false => Doubt::Again.put_on(message),
        });
        true
    }
}
