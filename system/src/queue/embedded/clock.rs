//! The clock of leases and retries: milliseconds since the machine was started. All processes that share
//! the file see the same, it goes on while the machine sleeps, and nobody sets it, as they do the wall
//! clock. It begins anew with the machine: what the file still says of an earlier time is then due,
//! because nobody lives who could have leased anything.

use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Names the present life of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Now.
pub(super) fn now_ms() -> i64 {
    let now = clock_gettime(CLOCK);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Makes everything due that the file says of another life of the machine.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<()> {
    let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
    begin_as(connection, boot.trim())
}

fn begin_as(connection: &mut Connection, boot: &str) -> rusqlite::Result<()> {
    let same = "SELECT EXISTS (SELECT 1 FROM clock WHERE boot = ?)";
    if connection.query_row(same, [boot], |row| row.get(0))? {
        return Ok(());
    }
    let t = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Somebody else may have been first.
    if !t.query_row(same, [boot], |row| row.get::<_, bool>(0))? {
        t.execute("UPDATE tasks SET due_ms = 0, lease_end_ms = 0 WHERE state <> 'done'", [])?;
        t.execute("INSERT OR REPLACE INTO clock (id, boot) VALUES (1, ?)", [boot])?;
    }
    t.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_life_of_the_machine_has_left_is_due() {
        let mut connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(include_str!("schema.sql")).expect("makes it");
        begin_as(&mut connection, "one").expect("begins");
        let hour = now_ms() + 3_600_000;
        connection
            .execute("INSERT INTO tasks (task, due_ms, lease_end_ms) VALUES ('', ?1, ?1)", [hour])
            .expect("inserts");
        let left = |c: &Connection| -> (i64, i64) {
            let left = "SELECT due_ms, lease_end_ms FROM tasks";
            c.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("reads")
        };
        begin_as(&mut connection, "one").expect("begins");
        assert_eq!(left(&connection), (hour, hour), "the same life goes on");
        begin_as(&mut connection, "another").expect("begins");
        assert_eq!(left(&connection), (0, 0));
    }
}
