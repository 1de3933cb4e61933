//! Submits the sweep where nobody else does.

use std::rc::Rc;

use ttg_contract::chunk::Sweep;
use ttg_system::{coordinator, queue};

use super::Stage;
use crate::environment::BrokerProcess;
use crate::history::Event;

/// Submits every chunk of the plan. Where that cannot be done, the history says so.
pub(super) async fn submit(stage: Rc<Stage>) {
    let Some(process) = &stage.broker_process else { return };
    if let Err(error) = submit_to(&stage, process).await {
        let reason = format!("the harness could not submit the sweep: {error}");
        stage.emit(Event::BrokerLost { reason });
    }
}

/// A connection of its own: who has submitted a sweep is told when it is lost, and who only looks on is
/// to look on.
async fn submit_to(stage: &Stage, process: &BrokerProcess) -> queue::Result<()> {
    let broker = queue::connect(&process.settings(), None).await?;
    let plan = &stage.plan.sweep;
    let sweep = Sweep { start: plan.start, params: plan.params(), chunk_size: plan.chunk_size };
    coordinator::run(&*broker, &sweep, None).await.map(drop)
}
