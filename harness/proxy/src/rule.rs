//! A toxic in force.

use std::rc::Rc;

use crate::direction::Direction;
use crate::effect::Tally;
use crate::hooks::ToxicHooks;

/// A toxic in force, with what it has done.
pub(crate) struct Rule {
    /// No two rules of a proxy have the same.
    pub(crate) id: u64,
    pub(crate) direction: Direction,
    pub(crate) hooks: Box<dyn ToxicHooks>,
    pub(crate) tally: Tally,
}

/// Those in force at a moment, in the order in which they were imposed.
pub(crate) type Rules = Rc<[Rc<Rule>]>;

/// What the rules do to a new connection, and which of them it is. The worst counts.
pub(crate) enum Newcomer {
    Carried,
    Waits(Rc<Rule>),
    Silenced(Rc<Rule>),
    Reset(Rc<Rule>),
}

impl Newcomer {
    pub(crate) fn under(rules: &Rules) -> Self {
        use crate::hooks::AcceptPolicy;
        let Some(worst) = rules.iter().max_by_key(|rule| rule.hooks.accept_policy()) else {
            return Self::Carried;
        };
        let rule = Rc::clone(worst);
        match worst.hooks.accept_policy() {
            AcceptPolicy::Carried => Self::Carried,
            AcceptPolicy::Waits => Self::Waits(rule),
            AcceptPolicy::Silenced => Self::Silenced(rule),
            AcceptPolicy::Reset => Self::Reset(rule),
        }
    }
}
