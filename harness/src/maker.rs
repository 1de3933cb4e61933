//! The labels by which what is ours is found again on a Docker engine or a cluster, and whose it is.
//!
//! Both are shared between machines, and an engine between containers on one, where the same process id
//! is another's: it says nothing by itself. So the labels name the machine and its space of process ids
//! too, and only a harness of the same ever judges whether an owner is dead.

use std::collections::BTreeMap;
use std::fs;

use crate::words::quoted;

/// Which run it belongs to.
pub(crate) const RUN: &str = "io.ttg.harness.run";

/// Process id of the harness that made it.
const OWNER: &str = "io.ttg.harness.owner";

/// When that process was started, in clock ticks of its machine.
const OWNER_STARTED: &str = "io.ttg.harness.owner-started";

/// The machine that it runs on.
const HOST: &str = "io.ttg.harness.host";

/// Longest value of a label, and longest name of a namespace.
const LONGEST: usize = 63;

/// Who made something: a harness on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    pid: u32,
    /// In clock ticks since its machine was started.
    started: u64,
    host: String,
}

impl Maker {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default(), host: this_host() }
    }

    /// Who made what carries these labels.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let pid = labels.get(OWNER)?.parse().ok()?;
        let started = labels.get(OWNER_STARTED)?.parse().ok()?;
        Some(Self { pid, started, host: labels.get(HOST)?.clone() })
    }

    /// Whether it ran on this machine, so that its death can be seen from here.
    pub fn is_of_this_machine(&self) -> bool {
        self.host == this_host()
    }

    /// Whether it is known to be dead.
    pub fn is_dead(&self) -> bool {
        self.is_of_this_machine() && started(self.pid) != Some(self.started)
    }

    /// Its machine, for people.
    pub fn host(&self) -> &str {
        self.host.split('.').next().unwrap_or_default()
    }

    /// Why it must not be touched, in words that go on after what it made: nothing if it is of this
    /// machine.
    pub fn as_stranger(&self) -> Option<String> {
        let host = quoted(self.host());
        (!self.is_of_this_machine()).then(|| {
            format!(", of another machine ({host}), which alone can tell whether it is in use")
        })
    }

    /// What everything that it makes for this run carries.
    pub(crate) fn labels(&self, run: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (RUN.to_owned(), run.to_owned()),
            (OWNER.to_owned(), self.pid.to_string()),
            (OWNER_STARTED.to_owned(), self.started.to_string()),
            (HOST.to_owned(), self.host.clone()),
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

/// This machine, as a label: its name, its id, and the space of process ids that this process is in (a
/// container has one of its own).
fn this_host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    host_label(
        &read("/proc/sys/kernel/hostname"),
        &read("/etc/machine-id"),
        &space.to_string_lossy(),
    )
}

fn host_label(name: &str, machine: &str, space: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let name: String = name.chars().filter(plain).take(30).collect();
    let machine: String = machine.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let space: String = space.chars().filter(char::is_ascii_digit).collect();
    let label = format!("{name}.{machine}.{space}");
    let label: String = label.chars().take(LONGEST).collect();
    label.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maker_is_read_back_from_its_labels() {
        let this = Maker::this();
        assert_eq!(Maker::of(&this.labels("a")), Some(this.clone()));
        assert!(this.is_of_this_machine() && !this.is_dead());
    }

    #[test]
    fn who_is_gone_from_this_machine_is_dead_and_of_another_machine_nothing_is_known() {
        let mut maker = Maker::this();
        // Another process took over its id.
        maker.started += 1;
        assert!(maker.is_dead());
        maker.host = "elsewhere.0123.4026531836".to_owned();
        assert!(!maker.is_dead() && !maker.is_of_this_machine());
        assert_eq!(maker.host(), "elsewhere");
        assert!(maker.as_stranger().unwrap().contains("of another machine (elsewhere)"));
        assert_eq!(Maker::this().as_stranger(), None);
    }

    #[test]
    fn labels_of_others_name_nobody() {
        let labels = |name: &str| BTreeMap::from([(name.to_owned(), "me".to_owned())]);
        assert_eq!(Maker::of(&labels(OWNER)), None);
        // Without its machine a process id is anybody's.
        let mut labels = Maker::this().labels("a");
        labels.remove(HOST);
        assert_eq!(Maker::of(&labels), None);
    }

    #[test]
    fn whatever_a_machine_is_called_it_makes_a_label() {
        assert_eq!(
            host_label("laptop\n", "3f2a9c01d4e8aa\n", "pid:[402]"),
            "laptop.3f2a9c01d4e8.402"
        );
        assert_eq!(host_label("", "", "pid:[402]"), "402");
        assert!(host_label(&"x".repeat(99), &"y".repeat(99), &"7".repeat(99)).len() <= LONGEST);
    }
}
