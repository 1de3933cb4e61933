//! What can go wrong with a queue, in words for people.

use super::Address;

/// Why a call had no outcome, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The broker did not answer for as long as the settings allow.
    #[error(
        "{address} does not answer: {cause} (is it running, and is the address right? BROKER_URL, or \
         {}, say where it is)",
        address.variables()
    )]
    Unreachable {
        /// Which broker.
        address: Address,
        /// The last error.
        cause: String,
    },
    /// There is no such file.
    #[error(
        "{address} is not there (is the path right? EMBEDDED_PATH, or BROKER_URL, says it, and ttg \
         coordinator makes the file)"
    )]
    NotThere {
        /// Which broker.
        address: Address,
    },
    /// The broker answered that it cannot do this.
    #[error("{address} refused: {cause}")]
    Refused {
        /// Which broker.
        address: Address,
        /// What it said.
        cause: String,
    },
    /// The broker holds another sweep.
    #[error("{address} holds {there}, not {asked} (finish that one, or discard it with --reset)")]
    OtherSweep {
        /// Which broker.
        address: Address,
        /// The sweep that is there.
        there: String,
        /// The sweep that was asked for.
        asked: String,
    },
    /// The sweep was computed by another kernel.
    #[error(
        "{place}: the sweep was computed by {there}, and this is {own} (discard its results with ttg \
         coordinator --reset, or, where the two compute the same, say --same-kernel)"
    )]
    OtherKernel {
        /// Which broker.
        place: String,
        /// What computed it.
        there: String,
        /// What was to compute it now.
        own: String,
    },
    /// The broker held the sweep and does not any more, though nobody has discarded it.
    #[error(
        "{place} no longer holds the sweep that was begun there: its data was lost or replaced \
         (submit it again with ttg coordinator)"
    )]
    SweepLost {
        /// Which broker.
        place: String,
    },
    /// A sifting of dead letters broke off.
    #[error(
        "{cause}; {done} of the dead letters were done with before that, and {left} are left (run it again)"
    )]
    HalfSifted {
        /// Letters that are gone.
        done: u64,
        /// Letters that are there, as far as is known.
        left: u64,
        /// Why.
        cause: Box<QueueError>,
    },
    /// Results are there, and nothing that says how large their sweep is.
    #[error(
        "{results} results are there of a sweep of which nobody says how large it is (ttg coordinator, \
         with its parameters, takes it over)"
    )]
    Untold {
        /// How many results.
        results: u64,
    },
}

impl QueueError {
    /// The sweep of the broker at `address` is lost.
    pub(super) fn lost(address: &Address) -> Self {
        Self::SweepLost { place: address.to_string() }
    }
}
