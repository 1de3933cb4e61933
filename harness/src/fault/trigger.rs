//! When a fault strikes.

use tokio::time::sleep;

use crate::plan::Trigger;
use crate::run::Stage;

/// Waits for the moment.
pub(super) async fn moment(stage: &Stage, trigger: &Trigger) {
    match trigger {
        Trigger::Progress(percent) => {
            let wanted = percent / 100.0 * stage.plan.sweep.params() as f64;
            stage.until(|standing| standing.params as f64 >= wanted).await;
        }
        Trigger::Time(after) => {
            stage.until(|standing| standing.begun).await;
            sleep(*after).await;
        }
        Trigger::After(fault) => stage.until(|standing| standing.struck.contains(fault)).await,
    }
}
