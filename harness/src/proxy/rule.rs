//! A toxic in force.

use std::rc::Rc;

use super::effect::Tally;
use super::toxic::{Act, Direction};

/// A toxic in force, with what it has done.
pub(super) struct Rule {
    /// No two rules of a proxy have the same.
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) act: Box<dyn Act>,
    pub(super) tally: Tally,
}

/// Those in force at a moment, in the order in which they were imposed.
pub(super) type Rules = Rc<[Rc<Rule>]>;

/// What the rules do to a new connection, and which of them it is. The worst counts.
pub(super) enum Newcomer {
    Carried,
    Waits(Rc<Rule>),
    Silenced(Rc<Rule>),
    Reset(Rc<Rule>),
}

impl Newcomer {
    pub(super) fn under(rules: &Rules) -> Self {
        use super::toxic::Welcome;
        let Some(worst) = rules.iter().max_by_key(|rule| rule.act.welcome()) else {
            return Self::Carried;
        };
        let rule = Rc::clone(worst);
        match worst.act.welcome() {
            Welcome::Carried => Self::Carried,
            Welcome::Waits => Self::Waits(rule),
            Welcome::Silenced => Self::Silenced(rule),
            Welcome::Reset => Self::Reset(rule),
        }
    }
}
