//! `restart`: SIGKILL, and a new process takes the place, under the same name.

use std::rc::Rc;

use async_trait::async_trait;

use super::kill::Kill;
use super::{Fault, Proof};
use crate::environment::Process;
use crate::run::Stage;

/// See the file.
pub(super) struct Restart;

#[async_trait(?Send)]
impl Fault for Restart {
    async fn inject(&self, stage: &Rc<Stage>, victim: &Process) -> Proof {
        let killed = match victim.exit() {
            // A coordinator leaves when its work is done: there is nothing to kill, but starting
            // it once more is what a restarted deployment does. A worker leaves in good order when
            // the sweep is complete: then there is nothing left to prove.
            Some(exit) if exit.code == Some(0) && victim.name != "coordinator" => {
                return Proof::missed(format!("process {} had left", victim.pid));
            }
            Some(_) => Proof::bit(format!("process {} had left", victim.pid)),
            None => Kill.inject(stage, victim).await,
        };
        match stage.start(&victim.name) {
            Ok(new) if killed.bit => {
                Proof::bit(format!("{}, now process {}", killed.seen, new.pid))
            }
            Ok(_) => killed,
            Err(error) => {
                Proof::missed(format!("{}, and cannot start again: {error}", killed.seen))
            }
        }
    }
}
