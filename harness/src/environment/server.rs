//! A broker's server, as faults see it: what can be done to it, wherever it runs. Each step says what
//! was seen of it, as a lower-case fragment for the proof.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;

use super::Unavailable;

/// What a step returns: what was seen.
pub type Seen = Result<String, Unavailable>;

/// A server that the harness has started. It ends when this is dropped.
#[async_trait(?Send)]
pub trait Server {
    /// Program, version, address, and what of its settings matters: for people.
    fn describe(&self) -> String;

    /// Where processes of this machine reach it.
    fn address(&self) -> SocketAddr;

    /// Its name on the run's network, where it is in a container; it has its usual port there.
    fn inside(&self) -> Option<&str> {
        None
    }

    /// User and password of its only user, where it is not the usual one.
    fn credentials(&self) -> Option<(&str, &str)> {
        None
    }

    /// The node that it is on, where it is on a cluster.
    fn node(&self) -> Option<String> {
        None
    }

    /// Asks for it to be moved off its node, and waits until it has left. Returns what was seen.
    async fn evict(&self) -> Seen {
        Err(Unavailable("only a Pod is evicted".to_owned()))
    }

    /// Where it was moved, waits until it serves again. Returns what was seen.
    async fn settle(&self) -> Seen {
        Ok("it is where it was".to_owned())
    }

    /// Puts its log beside the others, where it is not there already.
    async fn keep_log(&self, _: &Path) {}

    /// Waits for an end that no step here has caused, and says how it came.
    async fn ended(&self) -> String;

    /// Ends it by SIGKILL.
    async fn kill(&self) -> Seen;

    /// Ends it in good order.
    async fn stop(&self) -> Seen;

    /// Starts it again after an end, on the same port and with what it kept; it can be used then.
    async fn start_again(&self) -> Seen;

    /// Ends it by SIGKILL, and removes its data.
    async fn wipe(&self) -> Seen;

    /// Freezes it.
    async fn pause(&self) -> Seen;

    /// Lets it go on.
    async fn resume(&self) -> Seen;

    /// Fills the file system that holds its data. It may end of that.
    async fn fill_disk(&self) -> Seen {
        Err(Unavailable("the server has no file system of its own".to_owned()))
    }

    /// Frees it again. It can be used then, and is started again where it has ended.
    async fn free_disk(&self) -> Seen {
        Err(Unavailable("the server has no file system of its own".to_owned()))
    }
}
