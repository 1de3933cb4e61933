//! The keys of a sweep. The two streams and the metadata are the wire contract's.

pub(super) const TASKS: &str = "ttg:tasks";
pub(super) const RESULTS: &str = "ttg:results";
pub(super) const METADATA: &str = "ttg:metadata";
/// Consumer group of [`TASKS`].
pub(super) const GROUP: &str = "ttg-workers";
/// Dead letters: a stream.
pub(super) const LETTERS: &str = "ttg:tasks:dlq";
/// Failed chunks by the moment of their next attempt: a sorted set.
pub(super) const RETRY: &str = "ttg:tasks:retry";
/// Bitmap of committed chunks.
pub(super) const COMMITTED: &str = "ttg:committed";
/// Bitmap of dead chunks.
pub(super) const DEAD: &str = "ttg:dead";
/// How often an entry of [`TASKS`] was given back: those deliveries killed nobody.
pub(super) const RELEASES: &str = "ttg:releases";
/// Counters: `submitted`, `committed`, `dead`, `redelivered`, `trimmed`; and `trim`, whether settled tasks make
/// room: [`TASKS`] has `trimmed` entries less than were ever added.
pub(super) const PROGRESS: &str = "ttg:progress";
/// Workers by name, with the nonce of their present life: their connections are named after both.
pub(super) const MEMBERS: &str = "ttg:members";

/// The kernels that the sweep may be computed by: a set.
pub(super) const KERNELS: &str = "ttg:kernels";

/// What the server's clock showed last: where it shows less, it was set back.
pub(super) const CLOCK: &str = "ttg:clock";

/// Names the data of the server, from the first worker or coordinator on: where it is gone, or
/// another, everything else is too. A reset leaves it.
pub(super) const STORE: &str = "ttg:store";

/// Whose search for lost tasks goes on.
pub(super) const SEARCH: &str = "ttg:search";

/// Every key of a sweep, for a reset. Workers live on.
pub(super) const ALL: [&str; 11] =
    [TASKS, RESULTS, METADATA, LETTERS, RETRY, COMMITTED, DEAD, PROGRESS, RELEASES, KERNELS, CLOCK];
