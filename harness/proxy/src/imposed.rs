//! A toxic from its imposition until it is lifted.

use std::rc::Rc;

use tokio::sync::mpsc;

use crate::effect::{Effect, Tally};
use crate::hooks::Disruption;
use crate::rule::Rule;
use crate::shared::Shared;
use crate::toxic::Toxic;

/// A toxic in force. Dropped, it is lifted.
pub struct Imposed {
    shared: Rc<Shared>,
    rule: Rc<Rule>,
}

pub(crate) async fn impose(shared: &Rc<Shared>, toxic: Toxic) -> Imposed {
    let rule = Rc::new(Rule {
        id: shared.next_id(),
        direction: toxic.direction(),
        hooks: toxic.hooks(),
        tally: Tally::default(),
    });
    shared.add(Rc::clone(&rule));
    let imposed = Imposed { shared: Rc::clone(shared), rule };
    if let Some(disruption) = imposed.rule.hooks.disruption() {
        let (receipt, done) = mpsc::channel(1);
        shared.strike(disruption, &imposed.rule, Some(&receipt), |_| true);
        drop(receipt);
        all_done(done).await;
    }
    imposed
}

impl Imposed {
    /// What it has done until now.
    pub fn effect(&self) -> Effect {
        self.rule.tally.effect()
    }

    /// Waits until what it has done is so.
    pub async fn until(&self, so: impl FnMut(&Effect) -> bool) -> Effect {
        let mut effect = self.rule.tally.subscribe();
        match effect.wait_for(so).await {
            Ok(effect) => *effect,
            Err(_) => unreachable!("the rule, which this holds, holds the sender"),
        }
    }

    /// Ends it. Returns what it has done, once the connections that cannot go on without what it
    /// took from them are reset. What it held is on its way then, not yet there.
    pub async fn lift(self) -> Effect {
        let (receipt, done) = mpsc::channel(1);
        self.withdraw(Some(&receipt));
        drop(receipt);
        all_done(done).await;
        self.effect()
    }

    fn withdraw(&self, receipt: Option<&mpsc::Sender<()>>) {
        let rule = &self.rule;
        if self.shared.remove(rule) && rule.hooks.spoils() {
            self.shared.strike(Disruption::Reset, rule, receipt, |id| rule.tally.has_touched(id));
        }
    }
}

impl Drop for Imposed {
    fn drop(&mut self) {
        self.withdraw(None);
    }
}

/// Waits until every copy of a receipt is gone.
async fn all_done(mut done: mpsc::Receiver<()>) {
    while done.recv().await.is_some() {}
}
