//! `kill`: SIGKILL. The process gets no chance to say anything.

use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;

use super::{Fault, Proof, describe};
use crate::environment::Process;
use crate::run::Stage;

/// See the file.
pub(super) struct Kill;

#[async_trait(?Send)]
impl Fault for Kill {
    async fn inject(&self, _stage: &Rc<Stage>, victim: &Process) -> Proof {
        victim.signal(Signal::KILL);
        let exit = victim.ended().await;
        let seen = format!("process {} {}", victim.pid, describe(exit));
        if exit.signal == Some(Signal::KILL.as_raw()) {
            Proof::bit(seen)
        } else {
            Proof::missed(seen)
        }
    }
}
