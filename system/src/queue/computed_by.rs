//! What a sweep is computed by. A program that was put right would otherwise be answered with the results of
//! the one before, and two that differ would have their results added up.
//!
//! The first worker of ours that has computed something says what with; whoever computes with something else
//! is refused from then on. Foreign workers say nothing, and are asked nothing.

use async_trait::async_trait;

use super::{Address, QueueError, Result};
use crate::kernel::Identity;

/// Kernels that are kept of one sweep. Whoever insists after that is let in and not remembered.
pub(super) const MOST: usize = 100;

/// Kernels that a refusal names.
const NAMED: usize = 3;

/// What a worker asks about its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelCheck {
    /// Whether it may compute the sweep; nothing is written.
    Look,
    /// The same, and where nobody has computed anything, it is written down as the sweep's.
    Record,
    /// It is written down beside those that are there: somebody says that all compute the same.
    Same,
}

/// Knows what a sweep is computed by.
#[async_trait(?Send)]
pub trait ComputedBy {
    /// Asks whether this kernel may compute the sweep. Of several who ask at the same moment, one is the
    /// first. What is written down is discarded with the sweep.
    ///
    /// # Errors
    /// [`QueueError::OtherKernel`] where the sweep is another's.
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()>;
}

/// What follows from what is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is written down.
    Known,
    /// It is let in, and not written down.
    Accepted,
    /// It is to be written down.
    New,
    Refused,
}

pub(super) fn judge(there: &[String], own: &Identity, check: KernelCheck) -> Judged {
    let is_there = there.iter().any(|kernel| kernel == own.as_str());
    match check {
        _ if is_there => Judged::Known,
        KernelCheck::Look if there.is_empty() => Judged::Accepted,
        KernelCheck::Record if there.is_empty() => Judged::New,
        KernelCheck::Look | KernelCheck::Record => Judged::Refused,
        KernelCheck::Same if there.len() < MOST => Judged::New,
        KernelCheck::Same => Judged::Accepted,
    }
}

/// The answer, for who has written down what was new.
pub(super) fn answer(
    judged: &Judged,
    there: &[String],
    own: &Identity,
    address: &Address,
) -> Result<()> {
    if *judged != Judged::Refused {
        return Ok(());
    }
    let mut named: Vec<String> =
        there.iter().map(|kernel| Identity::from_text(kernel).to_string()).collect();
    named.sort();
    named.dedup();
    let others = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    Err(QueueError::OtherKernel {
        place: address.to_string(),
        there: named.join(" and ") + &more,
        own: own.to_string(),
    })
}
