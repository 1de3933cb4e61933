//! `pause`: SIGSTOP for a while, then SIGCONT. The process loses time without knowing.

use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;

use super::{Fault, Proof, becomes_stopped};
use crate::environment::Process;
use crate::run::Stage;

/// See the file.
pub(super) struct Pause;

#[async_trait(?Send)]
impl Fault for Pause {
    async fn inject(&self, _stage: &Rc<Stage>, victim: &Process) -> Proof {
        if becomes_stopped(victim, true).await {
            Proof::bit(format!("process {} is stopped (state T)", victim.pid))
        } else {
            Proof::missed(format!("process {} did not stop", victim.pid))
        }
    }

    async fn heal(&self, _stage: &Rc<Stage>, victim: &Process) {
        victim.signal(Signal::CONT);
        becomes_stopped(victim, false).await;
    }
}
