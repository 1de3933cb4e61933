//! Who holds what, as an onlooker sees it at the broker, and who comes after whom.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use ttg_contract::chunk::ChunkId;
use ttg_system::queue::{self, Broker, Held};

use super::{Stage, Standing};
use crate::history::HeldChunk;

/// How often to look who holds a chunk: it bounds the error of recovery times.
const LOOK: Duration = Duration::from_millis(3);

/// How long whoever asks waits for the answer. A broker answers within milliseconds, or it is away,
/// and somebody may be kept stopped meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// The broker does not say just now who holds what.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the broker does not say who holds what: {0}")]
pub struct NotKnown(String);

type Seen = Result<Rc<[Held]>, NotKnown>;

/// Asks the broker.
type Ask = Box<dyn Fn() -> LocalBoxFuture<'static, queue::Result<Vec<Held>>>>;

/// The looks of a run, one after another.
pub(super) struct Looks {
    ask: Option<Ask>,
    last: RefCell<Option<Look>>,
    /// Chunks that somebody waits for, and who committed them.
    watched: RefCell<HashMap<u64, Option<String>>>,
}

/// One look. It goes on though nobody waits for it any more: a question that is given up halfway
/// would cost a broker's onlooker what it knows.
#[derive(Clone)]
struct Look {
    began: Instant,
    seen: watch::Receiver<Option<Seen>>,
}

impl Look {
    fn begin(ask: &Ask) -> Self {
        let (began, (tell, seen)) = (Instant::now(), watch::channel(None));
        let answer = ask();
        tokio::task::spawn_local(async move {
            let held = answer.await.map(Rc::from).map_err(|error| NotKnown(error.to_string()));
            tell.send_replace(Some(held));
        });
        Self { began, seen }
    }

    async fn outcome(mut self) -> Seen {
        let given_up = || Err(NotKnown("the look was given up".to_owned()));
        let seen = self.seen.wait_for(Option::is_some).await;
        seen.map_or_else(|_| given_up(), |seen| seen.clone().unwrap_or_else(given_up))
    }
}

impl Looks {
    pub(super) fn at(broker: Option<Rc<dyn Broker>>) -> Self {
        Self::asking(broker.map(|broker| -> Ask {
            Box::new(move || {
                let broker = Rc::clone(&broker);
                Box::pin(async move { broker.held().await })
            })
        }))
    }

    fn asking(ask: Option<Ask>) -> Self {
        Self { ask, last: RefCell::default(), watched: RefCell::default() }
    }

    /// Takes note of who committed a chunk.
    pub(super) fn note_result(&self, chunk: u64, worker: &str) {
        if let Some(by) = self.watched.borrow_mut().get_mut(&chunk) {
            by.get_or_insert_with(|| worker.to_owned());
        }
    }

    /// What is held, or that it is not known, within [`PATIENCE`].
    async fn held(&self) -> Seen {
        let late = |_| Err(NotKnown(format!("no answer within {PATIENCE:?}")));
        timeout(PATIENCE, self.look()).await.unwrap_or_else(late)
    }

    /// What is held, as seen by a look that began after the question. Whoever asks meanwhile shares
    /// it: one look for each of many would keep the broker from its work.
    async fn look(&self) -> Seen {
        let Some(ask) = &self.ask else { return Ok(Rc::default()) };
        let asked = Instant::now();
        loop {
            let last = self.last.borrow().clone();
            if let Some(look) = last {
                let began = look.began;
                let outcome = look.outcome().await;
                if began >= asked {
                    return outcome;
                }
                sleep_until(began + LOOK).await;
            }
            let mut last = self.last.borrow_mut();
            if last.as_ref().is_none_or(|look| look.began < asked) {
                *last = Some(Look::begin(ask));
            }
        }
    }
}

impl Stage {
    /// Workers that hold chunks.
    ///
    /// # Errors
    /// Where the broker does not say at once.
    pub async fn holders(&self) -> Result<HashSet<String>, NotKnown> {
        Ok(self.looks.held().await?.iter().map(|held| held.worker.clone()).collect())
    }

    /// The delivery that has a worker at the chunk with this index, if one is known.
    pub async fn attempt_of(&self, chunk: Option<u64>) -> Option<Held> {
        let held = self.looks.held().await.ok()?;
        held.iter()
            .find(|held| held.begun && held.chunk_index.is_some() && held.chunk_index == chunk)
            .cloned()
    }

    /// What that worker holds.
    ///
    /// # Errors
    /// Where the broker does not say at once.
    pub async fn held_now(&self, worker: &str) -> Result<Vec<HeldChunk>, NotKnown> {
        let mut chunks = Vec::new();
        for held in self.looks.held().await?.iter().filter(|held| held.worker == worker) {
            if let Some(index) = held.chunk_index {
                self.looks.watched.borrow_mut().entry(index).or_default();
                let chunk_id = ChunkId(index).to_string();
                chunks.push(HeldChunk { chunk_id, delivery: held.token.number });
            }
        }
        Ok(chunks)
    }

    /// The same, waited for for as long as the broker does not say; nothing once the run is over.
    pub async fn held_by(&self, worker: &str) -> Vec<HeldChunk> {
        let known = async {
            loop {
                if let Ok(held) = self.held_now(worker).await {
                    return held;
                }
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            held = known => held,
            () = self.until(Standing::is_over) => Vec::new(),
        }
    }

    /// Waits until the chunk has another delivery or a result, and says whose. Nobody's where it
    /// is the same delivery's result.
    pub async fn successor(&self, from: &str, chunk: &HeldChunk) -> Option<String> {
        let index = chunk.chunk_id.parse().ok()?;
        loop {
            let held = self.looks.held().await.unwrap_or_default();
            if let Some(held) = held.iter().find(|held| held.chunk_index == Some(index))
                && (held.worker != from || held.token.number != chunk.delivery)
                && held.worker.starts_with("worker-")
            {
                return Some(held.worker.clone());
            }
            let by = self.looks.watched.borrow().get(&index).cloned().flatten();
            if let Some(by) = by {
                return (by != from).then_some(by);
            }
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, yield_now};
    use ttg_system::queue::{Address, QueueError, Token};

    use super::*;

    type Answer = queue::Result<Vec<Held>>;

    /// A broker that answers when and what the test says, a question at a time.
    #[derive(Clone, Default)]
    struct Questions(Rc<RefCell<Vec<oneshot::Sender<Answer>>>>);

    impl Questions {
        fn looks(&self) -> Rc<Looks> {
            let questions = self.clone();
            let ask: Ask = Box::new(move || {
                let (answer, answered) = oneshot::channel();
                questions.0.borrow_mut().push(answer);
                Box::pin(async { answered.await.expect("the test answers") })
            });
            Rc::new(Looks::asking(Some(ask)))
        }

        /// Waits for the next question, and answers it.
        async fn answer(&self, answer: Answer) {
            while self.0.borrow().is_empty() {
                yield_now().await;
            }
            assert_eq!(self.0.borrow().len(), 1, "one question at a time");
            self.0.borrow_mut().remove(0).send(answer).expect("is waited for");
        }
    }

    fn held(worker: &str) -> Vec<Held> {
        let token = Token { id: "7".to_owned(), number: 1 };
        vec![Held { chunk_index: Some(7), worker: worker.to_owned(), token, begun: true }]
    }

    async fn alone(test: impl Future<Output = ()>) {
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_broker_that_is_away_is_waited_for_for_a_second_and_asked_once() {
        alone(async {
            let questions = Questions::default();
            let looks = questions.looks();
            let begun = Instant::now();
            let (one, other) = tokio::join!(looks.held(), looks.held());
            assert!(one.is_err() && other.is_err());
            assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < 2 * PATIENCE);
            // Its late answer is to an old question.
            questions.answer(Ok(held("late"))).await;
            let (seen, ()) = tokio::join!(looks.held(), questions.answer(Ok(held("worker-1"))));
            assert_eq!(*seen.unwrap(), held("worker-1"));
        })
        .await;
    }

    #[tokio::test]
    async fn an_error_is_no_answer_and_the_next_question_gets_one_of_its_own() {
        alone(async {
            let questions = Questions::default();
            let looks = questions.looks();
            let away = || {
                let (address, cause) = (Address::Embedded("none".into()), "away".to_owned());
                Err(QueueError::Refused { address, cause })
            };
            let (seen, ()) = tokio::join!(looks.held(), questions.answer(away()));
            assert!(seen.unwrap_err().to_string().contains("away"));
            let (seen, ()) = tokio::join!(looks.held(), questions.answer(Ok(held("worker-1"))));
            assert_eq!(*seen.unwrap(), held("worker-1"));
        })
        .await;
    }

    #[tokio::test]
    async fn who_asks_while_a_look_goes_on_waits_for_one_that_begins_afterwards_and_shares_it() {
        alone(async {
            let questions = Questions::default();
            let looks = questions.looks();
            let first = Rc::clone(&looks);
            let first = tokio::task::spawn_local(async move { first.held().await });
            while questions.0.borrow().is_empty() {
                yield_now().await;
            }
            let answers = async {
                questions.answer(Ok(held("before"))).await;
                questions.answer(Ok(held("after"))).await;
            };
            let (one, other, ()) = tokio::join!(looks.held(), looks.held(), answers);
            assert_eq!(*first.await.unwrap().unwrap(), held("before"));
            assert_eq!(*one.unwrap(), held("after"));
            assert_eq!(*other.unwrap(), held("after"));
        })
        .await;
    }
}
