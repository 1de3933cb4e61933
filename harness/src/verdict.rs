//! Pass, inconclusive or fail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check, or a whole run, comes to. The order is that of gravity: fail over inconclusive
/// over pass.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What was expected was observed.
    Pass,
    /// Nothing can be said either way. Also what nothing at all comes to.
    #[default]
    Inconclusive,
    /// Something else than expected was observed.
    Fail,
}

impl Verdict {
    /// The gravest of them; inconclusive where there is none, for nothing proves nothing.
    pub fn gravest(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or_default()
    }

    /// Exit code of `harness`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive => 2,
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, Fail, Inconclusive, Pass};

    #[test]
    fn fail_outranks_inconclusive_and_inconclusive_outranks_pass() {
        assert_eq!(Verdict::gravest([Pass, Fail, Inconclusive]), Fail);
        assert_eq!(Verdict::gravest([Pass, Inconclusive, Pass]), Inconclusive);
        assert_eq!(Verdict::gravest([Pass, Pass]), Pass);
    }

    #[test]
    fn no_verdicts_at_all_are_inconclusive() {
        assert_eq!(Verdict::gravest([]), Inconclusive);
    }

    #[test]
    fn exit_codes_are_those_that_the_design_promises() {
        assert_eq!([Pass, Fail, Inconclusive].map(Verdict::exit_code), [0, 1, 2]);
    }
}
