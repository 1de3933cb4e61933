//! The labels by which what is ours is found again.

use std::collections::HashMap;
use std::fs;

/// Which run it belongs to.
pub(super) const RUN: &str = "io.ttg.harness.run";

/// Process id of the harness that made it.
pub(super) const OWNER: &str = "io.ttg.harness.owner";

/// When that process was started: its id may be another's by now.
pub(super) const OWNER_STARTED: &str = "io.ttg.harness.owner-started";

/// A harness that made something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// When it was started, in clock ticks since the machine was.
    pub started: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default() }
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    pub(super) fn of(labels: &HashMap<String, String>) -> Option<Self> {
        let number = |name| labels.get(name)?.parse().ok();
        let pid = u32::try_from(number(OWNER)?).ok()?;
        Some(Self { pid, started: number(OWNER_STARTED)? })
    }

    pub(super) fn labels(&self, run: &str) -> HashMap<String, String> {
        HashMap::from([
            (RUN.to_owned(), run.to_owned()),
            (OWNER.to_owned(), self.pid.to_string()),
            (OWNER_STARTED.to_owned(), self.started.to_string()),
        ])
    }
}

/// When a process was started; nothing if it has ended, even if nobody has asked for it yet.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name, which may hold anything.
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let state = after_name.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // Field 22 of the line.
    after_name.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_back_from_its_labels() {
        let this = Owner::this();
        assert_eq!(Owner::of(&this.labels("a")), Some(this.clone()));
        assert!(this.is_alive());
    }

    #[test]
    fn a_process_that_took_over_the_id_is_not_the_owner() {
        let this = Owner::this();
        assert!(!Owner { started: this.started + 1, ..this }.is_alive());
    }

    #[test]
    fn labels_of_others_name_no_owner() {
        assert_eq!(Owner::of(&HashMap::from([(OWNER.to_owned(), "me".to_owned())])), None);
    }
}
