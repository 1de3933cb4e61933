//! Deliveries that are not acknowledged. One belongs to a connection: when that is gone the broker gives it
//! to somebody else, and what is kept of it here says no more than which task it was.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lapin::message::Delivery as Message;

use crate::queue::Token;

/// A delivery as the broker knows it.
pub(super) struct Holding {
    /// Of the connection that it came over.
    pub(super) life: u64,
    pub(super) message: Message,
    /// It came through the consumer, in the order of its tags.
    pub(super) in_order: bool,
    /// When its task was created, in milliseconds since 1970: it is of no sweep that was opened later.
    pub(super) created_ms: i64,
}

/// What is acknowledged.
pub(super) struct Done {
    /// Goes with everything that came before it over the same channel.
    pub(super) together: Option<Holding>,
    /// Each for itself.
    pub(super) single: Vec<Holding>,
}

/// What is known of a delivery that is not acknowledged.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are held, and each would need an allocation more"
)]
enum State {
    /// Its connection is there, or nobody has noticed yet that it is not.
    Held(Holding),
    /// Its connection is gone, and its worker knows: when its task was created.
    Lost { created_ms: i64 },
}

impl State {
    /// The delivery, if it is of this life.
    fn of(&self, live: Option<u64>) -> Option<&Holding> {
        match self {
            Self::Held(holding) if Some(holding.life) == live => Some(holding),
            Self::Held(_) | Self::Lost { .. } => None,
        }
    }

    /// As `of`, for good.
    fn into_holding(self, live: Option<u64>) -> Option<Holding> {
        match self {
            Self::Held(holding) if Some(holding.life) == live => Some(holding),
            Self::Held(_) | Self::Lost { .. } => None,
        }
    }
}

/// Deliveries that are not acknowledged, by token.
#[derive(Default)]
pub(super) struct Held {
    by_token: RefCell<BTreeMap<String, State>>,
    count: Cell<u64>,
}

impl Held {
    /// Takes a delivery in, under a token that was never there before.
    pub(super) fn put(&self, holding: Holding) -> String {
        self.count.set(self.count.get() + 1);
        let id = self.count.get().to_string();
        self.by_token.borrow_mut().insert(id.clone(), State::Held(holding));
        id
    }

    /// Takes a delivery out, if it is of this life; of another, it is forgotten.
    pub(super) fn take(&self, token: &Token, live: Option<u64>) -> Option<Holding> {
        self.by_token.borrow_mut().remove(&token.id)?.into_holding(live)
    }

    /// Takes everything out that is of this life, and forgets the rest.
    pub(super) fn take_all(&self, live: Option<u64>) -> Vec<Message> {
        let all = self.by_token.take().into_values();
        all.filter_map(|state| state.into_holding(live)).map(|it| it.message).collect()
    }

    /// Takes out what is done. Where nothing that is still held lies between them, they go together.
    pub(super) fn take_done(&self, tokens: &[&Token], live: Option<u64>) -> Done {
        let done: Vec<Holding> = tokens.iter().filter_map(|it| self.take(it, live)).collect();
        let oldest_open = self.tags(live).into_iter().min().unwrap_or(u64::MAX);
        let (together, single): (Vec<_>, Vec<_>) =
            done.into_iter().partition(|it| it.in_order && it.message.delivery_tag < oldest_open);
        let together = together.into_iter().max_by_key(|it| it.message.delivery_tag);
        Done { together, single }
    }

    /// Those of these tokens whose delivery is not of this life; and the tasks of which that is found out
    /// now. What was lost before, and is not among the tokens any more, is forgotten.
    pub(super) fn lose(&self, tokens: &[Token], live: Option<u64>) -> (Vec<Token>, Vec<Message>) {
        let lost: Vec<Token> = tokens.iter().filter(|it| !self.is_of(it, live)).cloned().collect();
        let mut by_token = self.by_token.borrow_mut();
        by_token.retain(|id, state| {
            matches!(state, State::Held(_)) || lost.iter().any(|token| token.id == *id)
        });
        let mut found = Vec::new();
        for token in &lost {
            let Some(state) = by_token.get_mut(&token.id) else { continue };
            if let State::Held(Holding { created_ms, .. }) = *state
                && let State::Held(it) = std::mem::replace(state, State::Lost { created_ms })
            {
                found.push(it.message);
            }
        }
        (lost, found)
    }

    /// Whether the delivery of a token is of this life.
    pub(super) fn is_of(&self, token: &Token, live: Option<u64>) -> bool {
        self.by_token.borrow().get(&token.id).is_some_and(|state| state.of(live).is_some())
    }

    /// Whether nothing is held that is of this life.
    pub(super) fn is_empty(&self, live: Option<u64>) -> bool {
        !self.by_token.borrow().values().any(|state| state.of(live).is_some())
    }

    /// When the task of a token was created, if that is known.
    pub(super) fn created_ms(&self, token: &Token) -> Option<i64> {
        self.by_token.borrow().get(&token.id).map(|state| match state {
            State::Held(Holding { created_ms, .. }) | State::Lost { created_ms } => *created_ms,
        })
    }

    /// Tags of what came through the consumer of this life.
    pub(super) fn tags(&self, live: Option<u64>) -> Vec<u64> {
        let by_token = self.by_token.borrow();
        let ours = by_token.values().filter_map(|state| state.of(live)).filter(|it| it.in_order);
        ours.map(|it| it.message.delivery_tag).collect()
    }
}
