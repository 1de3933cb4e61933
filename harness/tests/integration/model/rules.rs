//! How the model misbehaves, where a test wants it to.

use serde_json::{Value, json};

/// What is done to requests that match.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// `GET`, `PATCH`, …; with `WATCH` for a GET that watches, and `SHELL` for what is asked of a hand.
    pub(crate) verb: &'static str,
    /// The path holds this, or ends with what is before a `$`.
    pub(crate) path: &'static str,
    /// So many requests pass before.
    pub(crate) after: u32,
    /// And so many are answered so.
    pub(crate) times: u32,
    pub(crate) answer: Answer,
}

impl Rule {
    /// Of every request with this verb and path.
    pub(crate) fn always(verb: &'static str, path: &'static str, answer: Answer) -> Self {
        Self { verb, path, after: 0, times: u32::MAX, answer }
    }

    /// Of so many.
    pub(crate) fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Whether it is to be followed by this request.
    pub(super) fn meets(&mut self, verb: &str, path: &str) -> bool {
        let is_it = match self.path.strip_suffix('$') {
            Some(end) => path.ends_with(end),
            None => path.contains(self.path),
        };
        if self.times == 0 || self.verb != verb || !is_it {
            return false;
        }
        if self.after > 0 {
            self.after -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// What a request gets instead of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status object with this code, reason and message; and after how many seconds to come again.
    Status(u16, &'static str, &'static str, u32),
    /// This code and this JSON.
    Text(u16, &'static str),
    /// Nothing, for ever.
    Silence,
    /// The beginning of an answer, and then the connection breaks.
    Half,
    /// Of a watch: it has grown too old, said in its stream.
    Gone,
    /// Of a watch: it ends after its first event, in the middle of the second.
    Torn,
    /// Of a hand: this is said, and nothing done.
    Says(&'static str),
}

/// A status object.
pub(super) fn status(code: u16, reason: &str, message: &str, retry_after: u32) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
        "details": { "retryAfterSeconds": retry_after },
    })
}
