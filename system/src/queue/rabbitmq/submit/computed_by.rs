//! The queue of the kernels. A queue cannot be read without taking from it, and what somebody has taken is
//! not there for others meanwhile: so it is read under the lock alone, and what was read goes back to it
//! before the lock is given up. Whoever dies in between gives back both with the connection, the lock perhaps
//! first: so a queue that is there and empty is looked at again for a while.
//!
//! It is a classic queue, whatever the others are, since a quorum queue takes its time to put back what was
//! read. Where the node that has it is down, a worker that starts waits for it.

use std::cell::RefCell;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::kernel::Identity;
use crate::queue::computed_by::{Judged, MOST, answer, judge};
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::rabbitmq::inspect::peek;
use crate::queue::rabbitmq::journal::record;
use crate::queue::rabbitmq::topology::depth;
use crate::queue::{ComputedBy, KernelCheck, Result};

/// How long the queue may be there and look empty, though somebody has written to it.
const SETTLED: Duration = Duration::from_secs(1);

/// How often that is looked at.
const EMPTY_POLL: Duration = Duration::from_millis(10);

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
                    write_down(life, own).await?;
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

async fn kernels(life: &Life) -> Outcome<Vec<String>> {
    let deadline = Instant::now() + SETTLED;
    loop {
        let mut there = Vec::new();
        let each = &mut |message: &lapin::message::Delivery| {
            there.push(String::from_utf8_lossy(&message.data).into_owned());
        };
        let is_there = peek::all(life, &life.queues.kernels(), MOST as u64, each).await?;
        if !there.is_empty() || Instant::now() >= deadline || !is_there {
            return Ok(there);
        }
        sleep(EMPTY_POLL).await;
    }
}

async fn write_down(life: &Life, own: &Identity) -> Outcome<()> {
    life.declare(&life.queues.kernels()).await?;
    life.publish(&[record::kernel(&life.queues, own.as_str())]).await
}
