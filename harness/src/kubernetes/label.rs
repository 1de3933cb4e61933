//! The labels by which what is ours is found again, and whose it is.
//!
//! A cluster is shared between machines: a process id says nothing by itself. So the labels name the
//! machine too, and only a harness of the same machine ever judges whether an owner is dead.

use std::collections::BTreeMap;
use std::fs;

use crate::docker::Owner;

/// Which run it belongs to.
pub(super) const RUN: &str = "io.ttg.harness.run";

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
    owner: Owner,
    host: String,
}

impl Maker {
    /// This process.
    pub(super) fn this() -> Self {
        Self { owner: Owner::this(), host: this_host() }
    }

    /// Who made what carries these labels.
    pub(super) fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let pid = labels.get(OWNER)?.parse().ok()?;
        let started = labels.get(OWNER_STARTED)?.parse().ok()?;
        Some(Self { owner: Owner { pid, started }, host: labels.get(HOST)?.clone() })
    }

    /// Whether it ran on this machine, so that its death can be seen from here.
    pub fn is_of_this_machine(&self) -> bool {
        self.host == this_host()
    }

    /// Whether it is known to be dead.
    pub fn is_dead(&self) -> bool {
        self.is_of_this_machine() && !self.owner.is_alive()
    }

    /// Its machine, for people.
    pub fn host(&self) -> &str {
        self.host.split('.').next().unwrap_or_default()
    }

    /// What everything that it makes for this run carries.
    pub(super) fn labels(&self, run: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            (RUN.to_owned(), run.to_owned()),
            (OWNER.to_owned(), self.owner.pid.to_string()),
            (OWNER_STARTED.to_owned(), self.owner.started.to_string()),
            (HOST.to_owned(), self.host.clone()),
        ])
    }
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
        maker.owner.started += 1;
        assert!(maker.is_dead());
        maker.host = "elsewhere.0123.4026531836".to_owned();
        assert!(!maker.is_dead() && !maker.is_of_this_machine());
        assert_eq!(maker.host(), "elsewhere");
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
