//! Why a step at the broker failed, and what its replies mean: nothing else here compares their codes or
//! texts.

use std::fmt;

use lapin::ErrorKind;

use crate::queue::access::{is_untrusted, tls_advice};

/// Access refused: the user, its password or its rights.
const ACCESS_REFUSED: u16 = 403;

const NOT_FOUND: u16 = 404;

/// A queue is another connection's alone.
const RESOURCE_LOCKED: u16 = 405;

/// Arguments that differ from those of the queue that is there.
const PRECONDITION_FAILED: u16 = 406;

/// Not allowed: the vhost.
const NOT_ALLOWED: u16 = 530;

/// Replies that another attempt does not change.
const FINAL: [u16; 3] = [ACCESS_REFUSED, PRECONDITION_FAILED, NOT_ALLOWED];

/// How the server ends the reason why it refuses a step to a user who lacks the right. It refuses with the same code
/// what somebody else uses exclusively, which passes.
const REFUSED_FOR: &str = "refused for user";

/// What helps then.
const LACKS_A_RIGHT: &str = "rabbitmqctl set_permissions gives a user the rights to configure, write and read what the \
                             queues' names begin with, and to write to amq.default";

/// Why a step was not done, or not known to be.
#[derive(Debug)]
pub(super) struct BrokerError {
    pub(super) cause: String,
    /// Another attempt will not help.
    pub(super) is_final: bool,
}

/// What steps on a connection return.
pub(super) type Outcome<T> = Result<T, BrokerError>;

impl BrokerError {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_final: false }
    }

    /// While a connection is made, what the server refuses it will refuse again.
    pub(super) fn at_first(error: &lapin::Error) -> Self {
        let cause = error.to_string();
        let refusal = reply_code(error).filter(|code| FINAL.contains(code));
        let advice = match refusal {
            _ if lacks_a_right(error) => Some(LACKS_A_RIGHT),
            Some(ACCESS_REFUSED) => {
                Some("RABBITMQ_USER and RABBITMQ_PASSWORD, or BROKER_URL, say who connects")
            }
            Some(NOT_ALLOWED) => Some("RABBITMQ_VHOST, or BROKER_URL, say which vhost"),
            Some(_) => None,
            None => tls_advice(&cause),
        };
        Self { is_final: refusal.is_some() || is_untrusted(&cause), cause: advised(&cause, advice) }
    }
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        let lacks = lacks_a_right(&error);
        // A right that is missing is missing the next time too.
        Self { cause: advised(&error.to_string(), lacks.then_some(LACKS_A_RIGHT)), is_final: lacks }
    }
}

fn advised(cause: &str, advice: Option<&str>) -> String {
    advice.map_or(cause.to_owned(), |advice| format!("{cause} ({advice})"))
}

fn lacks_a_right(error: &lapin::Error) -> bool {
    reply_code(error) == Some(ACCESS_REFUSED) && error.to_string().contains(REFUSED_FOR)
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// Whether the server says that there is no such queue, or none that can be used.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

/// Whether the server says that the queue is another connection's alone.
pub(super) fn is_locked(error: &lapin::Error) -> bool {
    reply_code(error) == Some(RESOURCE_LOCKED)
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some(reply.get_id()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    fn refusal(text: &str) -> lapin::Error {
        let kind = AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED);
        ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into()
    }

    #[test]
    fn a_right_that_is_missing_is_not_waited_for() {
        let lacks =
            refusal("access to exchange 'amq.default' in vhost '/' refused for user 'sweeps'");
        for told in [BrokerError::at_first(&lacks), BrokerError::from(lacks)] {
            assert!(
                told.is_final && told.cause.ends_with(&format!("({LACKS_A_RIGHT})")),
                "{told:?}"
            );
        }
    }

    #[test]
    fn what_somebody_else_uses_is_waited_for() {
        let used = refusal("queue 'ttg.tasks' in vhost '/' in exclusive use").into();
        assert!(matches!(used, BrokerError { is_final: false, .. }), "{used:?}");
    }
}
