//! What a worker on Redis does, without its promises: read 64, write 64 results in one pipeline,
//! acknowledge 64.

use std::collections::BTreeMap;

use ttg_system::queue::Address;

use super::BATCH;

pub(crate) fn worker(address: &Address, number: u32) {
    type Tasks = Vec<(String, BTreeMap<String, String>)>;
    let name = &format!("worker-{number}");
    let Address::Redis(server) = address else { unreachable!("a Redis address") };
    let (host, port, db) = (&server.host, server.port, server.db);
    let client = redis::Client::open(format!("redis://{host}:{port}/{db}")).expect("a URL");
    let mut connection = client.get_connection().expect("connects");
    loop {
        let read: Option<Vec<(String, Tasks)>> = redis::cmd("XREADGROUP")
            .arg(&["GROUP", "ttg-workers", name, "COUNT"])
            .arg(BATCH)
            .arg(&["STREAMS", "ttg:tasks", ">"])
            .query(&mut connection)
            .expect("reads");
        let tasks: Tasks = read.into_iter().flatten().flat_map(|(_, tasks)| tasks).collect();
        if tasks.is_empty() {
            return;
        }
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
        write.ignore().query::<()>(&mut connection).expect("writes");
    }
}
