//! Where a program that embeds `ttg` can put itself between the roles and their broker.

use std::rc::Rc;

use crate::queue::{self, Broker, Settings};

/// By default, nothing is in between.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Changes the settings that the flags gave.
    pub settings: fn(&mut Settings),
    /// Wraps the broker once it is connected.
    pub broker: fn(Rc<dyn Broker>, &Settings) -> Rc<dyn Broker>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { settings: |_| {}, broker: |broker, _| broker }
    }
}

impl Hooks {
    pub(super) async fn connect(
        &self,
        settings: &Settings,
        worker: Option<&str>,
    ) -> queue::Result<Rc<dyn Broker>> {
        Ok((self.broker)(queue::connect(settings, worker).await?, settings))
    }
}
