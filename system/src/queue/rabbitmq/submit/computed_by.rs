//! The queue of the kernels. A queue cannot be read without taking from it, and what somebody has taken is
//! not there for others meanwhile: so it is read under the lock alone, and what was read goes back to it
//! before the lock is given up. Whoever dies in between gives back both with the connection, the messages
//! first.
//!
//! It is a classic queue, whatever the others are, since a quorum queue takes its time to put back what was
//! read. Where the node that has it is down, a worker that starts waits for it.

use std::cell::RefCell;

use async_trait::async_trait;
use lapin::options::BasicNackOptions;

use crate::kernel::Identity;
use crate::queue::computed_by::{Judged, MOST, answer, judge};
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::journal::record;
use crate::queue::rabbitmq::topology::depth;
use crate::queue::{ComputedBy, KernelCheck, Result};

/// The kernel that was written down, or found, and the life of the connection in which it was. A reset ends
/// that life, as it deletes the queue of the tasks.
#[derive(Default)]
pub(super) struct Accepted(RefCell<Option<(u64, Identity)>>);

impl Accepted {
    fn is(&self, own: &Identity, live: Option<u64>) -> bool {
        let accepted = self.0.borrow();
        accepted.as_ref().is_some_and(|(life, kernel)| Some(*life) == live && kernel == own)
    }
}

#[async_trait(?Send)]
impl ComputedBy for RabbitMq {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        if self.submitter.accepted.is(own, self.client.live()) {
            return Ok(());
        }
        if check == KernelCheck::Look {
            if !self.client.call(async |life| has_kernels(&life).await).await? {
                return Ok(());
            }
        } else {
            // Nothing is written down for data that has come in place of what was lost.
            self.look_for_loss().await?;
        }
        let (life, there, judged) = self
            .client
            .alone(async |life| {
                let there = kernels(life).await?;
                let judged = judge(&there, own, check);
                if judged == Judged::New {
                    life.publish(&[record::kernel(&life.queues, own.as_str())]).await?;
                }
                Ok((life.number, there, judged))
            })
            .await?;
        answer(&judged, &there, own, &self.settings.address)?;
        if judged == Judged::New || judged == Judged::Known {
            self.submitter.accepted.0.replace(Some((life, own.clone())));
        }
        Ok(())
    }
}

/// Nobody has written anything down where there is no queue. Where there is one, it may look empty while
/// somebody reads it.
async fn has_kernels(life: &Life) -> Outcome<bool> {
    Ok(depth(&life.connection, &life.queues.kernels()).await?.is_some())
}

/// What is written down, once everything is back in its place. It costs as few answers as can be: a fleet that
/// starts does this one after the other, each before its first result.
async fn kernels(life: &Life) -> Outcome<Vec<String>> {
    let queue = life.queues.kernels();
    let mut there = Vec::new();
    for _ in 0..life.declare(&queue).await?.messages.min(MOST as u32) {
        let fetched = life.fetch(&queue).await?;
        there.push(
            fetched.ok_or_else(|| BrokerError::new(format!("{queue} holds less than it says")))?,
        );
    }
    for message in there.iter().rev() {
        message.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
    }
    if !there.is_empty() {
        // It answers after it has taken them back.
        life.depth(&queue).await?;
    }
    Ok(there.iter().map(|message| String::from_utf8_lossy(&message.data).into_owned()).collect())
}
