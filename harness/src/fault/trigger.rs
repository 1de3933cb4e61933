//! When a fault strikes.

use tokio::time::sleep;

use crate::plan::Trigger;
use crate::run::Stage;

/// Waits for the moment.
pub(super) async fn moment(stage: &Stage, trigger: &Trigger) {
    match trigger {
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
