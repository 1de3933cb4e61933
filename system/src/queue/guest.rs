//! For those who use a broker of somebody else's for a while: what is there under the names of a sweep
//! before they come, and how to leave it as it was.

use super::{Address, Result, Settings, rabbitmq, redis};

/// What was on a broker before we came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Names of keys, queues and exchanges.
    pub(super) there: Vec<String>,
    /// What somebody has there, in words.
    pub(super) data: Option<String>,
}

impl Guest {
    /// Looks, and changes nothing: not even the queues are declared.
    ///
    /// # Errors
    /// Where the broker does not answer, or refuses.
    pub async fn look(settings: &Settings) -> Result<Self> {
        match &settings.address {
            Address::Embedded(_) => Ok(Self { there: Vec::new(), data: None }),
            Address::Redis(_) => redis::look_as_guest(settings).await,
            Address::RabbitMq(server) => rabbitmq::look_as_guest(settings, server).await,
        }
    }

    /// What somebody has there, in words.
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// Whether anything of ours is there from an earlier time.
    pub fn is_known(&self) -> bool {
        !self.there.is_empty()
    }

    /// Removes everything under the names of a sweep that was not there before.
    ///
    /// # Errors
    /// Where the broker does not answer, or refuses.
    pub async fn leave(&self, settings: &Settings) -> Result<()> {
        match &settings.address {
            Address::Embedded(_) => Ok(()),
            Address::Redis(_) => redis::leave_as_guest(settings, self).await,
            Address::RabbitMq(server) => rabbitmq::leave_as_guest(settings, server, self).await,
        }
    }
}
