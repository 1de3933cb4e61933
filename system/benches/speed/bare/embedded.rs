//! What a worker on a file does, without its promises: take a batch in one transaction, and in another
//! write its results and settle it. Both wait for the disk, as a worker's do.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior::Immediate, params};
use ttg_system::queue::Address;

use super::{BATCH, Done, RESULT};
use crate::outcome::{Outcome, failed};

pub(super) fn work(address: &Address, number: u32, deadline: Instant) -> Outcome<Done> {
    let Address::Embedded(path) = address else { unreachable!("a file") };
    let mut file = Connection::open(path).map_err(failed)?;
    take_and_settle(&mut file, &format!("bare-{number}"), deadline).map_err(failed)
}

fn take_and_settle(file: &mut Connection, name: &str, deadline: Instant) -> rusqlite::Result<Done> {
    file.busy_timeout(Duration::from_secs(5))?;
    file.pragma_update(None, "synchronous", "FULL")?;
    let mut done = Done::default();
    while Instant::now() < deadline {
        let step = file.transaction_with_behavior(Immediate)?;
        let taken: Vec<i64> = step
            .prepare_cached(
                "UPDATE tasks SET state = 'leased', owner = ?1 WHERE id IN (SELECT id FROM tasks \
                 WHERE state = 'ready' ORDER BY due_ms, id LIMIT ?2) RETURNING id",
            )?
            .query_map(params![name, BATCH], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        step.commit()?;
        if taken.is_empty() {
            break;
        }
        done.tasks_came();
        let step = file.transaction_with_behavior(Immediate)?;
        for id in &taken {
            let insert = "INSERT INTO results (chunk, result, at_ms) VALUES (?, ?, 0)";
            step.prepare_cached(insert)?.execute(params![id, RESULT])?;
            step.prepare_cached("UPDATE tasks SET state = 'done' WHERE id = ?")?.execute([id])?;
        }
        step.commit()?;
        done.chunks += taken.len() as u64;
        done.results_went();
    }
    Ok(done)
}
