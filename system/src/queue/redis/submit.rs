//! The coordinator's side.

use std::collections::HashMap;

use ::redis::cmd;
use async_trait::async_trait;

use super::keys::{ALL, MEMBERS, METADATA, PROGRESS, RESULTS, STORE, TASKS};
use super::{Redis, client_name, create_group, store_name};
use crate::chunk::Sweep;
use crate::queue::{QueueError, Result, Submit, SweepInfo};
use crate::wire::{self, Task};

#[async_trait(?Send)]
impl Submit for Redis {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        let mut asked = SweepInfo::asked(sweep, job_id);
        self.link.call(async |mut c| create_group(&mut c).await).await?;
        let mut opened = self.open_with(&asked, None).await?;
        if opened.submitted < 0 {
            let found = self.look_over(&opened.metadata, &mut asked).await?;
            opened = self.open_with(&asked, Some(found)).await?;
        }
        self.state().store = Some(opened.store);
        match from_metadata(&opened.metadata) {
            // Whoever says how many there are is told how many are submitted.
            Some(there) if there.is(&asked) => Ok(opened.submitted.unsigned_abs()),
            there => Err(self.other_sweep(there, &asked)),
        }
    }

    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64> {
        let script = script!("submit");
        let mut script = script.key(TASKS);
        let Sweep { start, params, chunk_size } = *sweep;
        script.key(PROGRESS).key(METADATA).arg(params).arg(chunk_size).arg(start).arg(from);
        let created_at = wire::now();
        for index in from..to {
            let task = Task::first(sweep, index, &created_at);
            let fields = task.to_fields();
            if index == from {
                script.arg(fields.len());
            }
            script.arg(fields);
        }
        self.run(&mut script).await
    }

    async fn trim(&self) -> Result<()> {
        self.link
            .call(async |mut c| {
                cmd("HSET").arg(PROGRESS).arg(TRIM).arg(1).query_async::<()>(&mut c).await
            })
            .await
    }

    async fn reset(&self) -> Result<()> {
        self.link.call(async |mut c| cmd("DEL").arg(&ALL).query_async::<()>(&mut c).await).await?;
        // Workers live on; those that were killed are of no sweep any more.
        let Some(connected) = self.connected().await? else { return Ok(()) };
        let mut members: HashMap<String, String> = self
            .link
            .call(async |mut c| cmd("HGETALL").arg(MEMBERS).query_async(&mut c).await)
            .await?;
        members.retain(|name, nonce| !connected.contains(&client_name(name, nonce)));
        if members.is_empty() {
            return Ok(());
        }
        let dead: Vec<String> = members.into_keys().collect();
        self.link
            .call(async |mut c| cmd("HDEL").arg(MEMBERS).arg(&dead).query_async(&mut c).await)
            .await
    }
}

/// What is there of a sweep that is opened.
struct Opened {
    metadata: HashMap<String, String>,
    /// How many chunks are submitted; below 0 where that is not known.
    submitted: i64,
    store: String,
}

impl Redis {
    /// Opens a sweep. `found` is how many chunks there are of it, where somebody else has begun it.
    async fn open_with(&self, asked: &SweepInfo, found: Option<u64>) -> Result<Opened> {
        let script = script!("open");
        let mut script = script.key(METADATA);
        script.key(PROGRESS).key(TASKS).key(RESULTS).key(STORE).arg(store_name());
        script.arg(found.map(|found| found.to_string()).unwrap_or_default());
        script.arg(to_metadata(asked));
        let (metadata, submitted, store) = self.run(&mut script).await?;
        Ok(Opened { metadata, submitted, store })
    }

    pub(super) fn other_sweep(&self, there: Option<SweepInfo>, asked: &SweepInfo) -> QueueError {
        QueueError::OtherSweep {
            address: self.settings.address.clone(),
            there: there.map_or("metadata of a foreign form".into(), |info| info.to_string()),
            asked: asked.to_string(),
        }
    }
}

/// In [`PROGRESS`]: settled tasks make room.
const TRIM: &str = "trim";

fn to_metadata(info: &SweepInfo) -> Vec<(&'static str, String)> {
    let Sweep { start, params, chunk_size } = info.sweep;
    vec![
        ("total_parameters", params.to_string()),
        ("chunk_size", chunk_size.to_string()),
        ("total_chunks", info.sweep.chunks().to_string()),
        ("job_id", info.job_id.clone()),
        ("created_at", info.created_at.clone()),
        ("start_param", start.to_string()),
        ("submitted_by", "ttg".to_owned()),
    ]
}

/// The sweep of the metadata; a foreign coordinator's may have no `start_param`, and has no
/// `submitted_by`.
pub(super) fn from_metadata(fields: &HashMap<String, String>) -> Option<SweepInfo> {
    let number = |name| fields.get(name).and_then(|text| text.parse::<u64>().ok());
    let text = |name| fields.get(name).cloned().unwrap_or_default();
    let sweep = Sweep {
        start: number("start_param").unwrap_or(0),
        params: number("total_parameters")?,
        chunk_size: number("chunk_size")?,
    };
    sweep.check_bounds().ok()?;
    // Who cuts otherwise does not mean this sweep.
    let chunks = number("total_chunks").unwrap_or(sweep.chunks());
    (chunks == sweep.chunks()).then_some(())?;
    Some(SweepInfo { sweep, job_id: text("job_id"), created_at: text("created_at") })
}
