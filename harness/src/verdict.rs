//! Not judged, pass, inconclusive or fail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a check, or a whole run, comes to. The order is that of gravity: fail over inconclusive
/// over pass over what was not judged at all.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing was expected, so nothing was found out. Never what a whole run comes to.
    NotJudged,
    /// What was expected was observed.
    Pass,
    /// Nothing can be said either way. Also what nothing at all comes to.
    #[default]
    Inconclusive,
    /// Something else than expected was observed.
    Fail,
}

impl Verdict {
    /// The gravest of what was judged; inconclusive where nothing was, for nothing proves nothing.
    pub fn gravest(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let judged = verdicts.into_iter().filter(|verdict| *verdict != Self::NotJudged);
        judged.max().unwrap_or_default()
    }

    /// Whether it keeps a run from passing.
    pub fn is_grave(self) -> bool {
        self > Self::Pass
    }

    /// Exit code of `harness`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive | Self::NotJudged => 2,
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotJudged => "not judged",
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
    use super::Verdict::{self, Fail, Inconclusive, NotJudged, Pass};

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
    fn what_was_not_judged_neither_passes_nor_keeps_from_passing() {
        assert_eq!(Verdict::gravest([NotJudged, Pass, NotJudged]), Pass);
        assert_eq!(Verdict::gravest([NotJudged, NotJudged]), Inconclusive);
        assert_eq!(
            [NotJudged, Pass, Inconclusive, Fail].map(Verdict::is_grave),
            [false, false, true, true]
        );
    }

    #[test]
    fn files_name_it_in_one_word() {
        let all = [NotJudged, Pass, Inconclusive, Fail];
        let named = serde_json::to_string(&all).unwrap();
        assert_eq!(named, r#"["not-judged","pass","inconclusive","fail"]"#);
        assert_eq!(serde_json::from_str::<[Verdict; 4]>(&named).unwrap(), all);
    }

    #[test]
    fn exit_codes_are_those_that_the_design_promises() {
        assert_eq!([Pass, Fail, Inconclusive].map(Verdict::exit_code), [0, 1, 2]);
    }
}
