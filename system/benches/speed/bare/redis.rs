//! What a worker on Redis does, without its promises: read a batch, write its results in one
//! pipeline, acknowledge it.

use std::collections::BTreeMap;
use std::time::Instant;

use ttg_system::queue::Address;

use super::{BATCH, Done};
use crate::outcome::{Outcome, failed};

pub(super) fn work(address: &Address, number: u32, deadline: Instant) -> Outcome<Done> {
    type Tasks = Vec<(String, BTreeMap<String, String>)>;
    let name = &format!("worker-{number}");
    let Address::Redis(server) = address else { unreachable!("a Redis address") };
    let (host, port, db) = (&server.host, server.port, server.db);
    let client = redis::Client::open(format!("redis://{host}:{port}/{db}")).map_err(failed)?;
    let mut connection = client.get_connection().map_err(failed)?;
    let mut done = Done::default();
    while Instant::now() < deadline {
        let read: Option<Vec<(String, Tasks)>> = redis::cmd("XREADGROUP")
            .arg(&["GROUP", "ttg-workers", name, "COUNT"])
            .arg(BATCH)
            .arg(&["STREAMS", "ttg:tasks", ">"])
            .query(&mut connection)
            .map_err(failed)?;
        let tasks: Tasks = read.into_iter().flatten().flat_map(|(_, tasks)| tasks).collect();
        if tasks.is_empty() {
            break;
        }
        done.tasks_came();
        let mut write = redis::pipe();
        for (_, task) in &tasks {
            let result = r#"{"sum":13.0,"count":1,"min":13.0,"max":13.0,"avg":13.0}"#;
            write
                .cmd("XADD")
                .arg(&["ttg:results", "*", "chunk_id", &task["chunk_id"], "worker_id", name])
                .arg(&["status", "completed", "duration_seconds", "0.0000"])
                .arg(&["completed_at", "2026-01-02T03:04:05.678901234Z", "result_data", result])
                .ignore();
        }
        write.cmd("XACK").arg("ttg:tasks").arg("ttg-workers");
        for (id, _) in &tasks {
            write.arg(id);
        }
        // The last answer is how many were acknowledged.
        let acknowledged: Vec<u64> = write.query(&mut connection).map_err(failed)?;
        done.chunks += acknowledged.iter().sum::<u64>();
        done.results_went();
    }
    Ok(done)
}
