//! When a fault strikes.

use std::time::Duration;

use tokio::time::sleep;

use crate::plan::{Trigger, percent_of};
use crate::run::Stage;

/// How often to look how much is submitted.
const LOOK: Duration = Duration::from_millis(1);

/// Waits for the moment, or until the run is over.
pub(super) async fn moment(stage: &Stage, trigger: &Trigger) {
    tokio::select! {
        () = comes(stage, trigger) => {}
        () = stage.until(crate::run::Standing::is_over) => {}
    }
}

async fn comes(stage: &Stage, trigger: &Trigger) {
    match trigger {
        Trigger::Start => {}
        Trigger::Submitted(percent) => {
            let wanted = percent_of(stage.plan.sweep.chunks(), *percent);
            while stage.submitted().await.unwrap_or(0) < wanted {
                sleep(LOOK).await;
            }
        }
        Trigger::Progress(percent) => {
            stage.until(|standing| stage.has_come_to(*percent, standing)).await;
        }
        Trigger::Time(after) => {
            stage.until(|standing| standing.begun).await;
            sleep(*after).await;
        }
        Trigger::After(fault) => stage.until(|standing| standing.struck.contains(fault)).await,
    }
}
