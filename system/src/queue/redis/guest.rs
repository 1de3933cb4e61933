//! Somebody else's server: what is there under our keys, and how to leave it.

use ::redis::cmd;

use super::keys::{ALL, MEMBERS, SEARCH, STORE};
use super::link::Link;
use crate::queue::guest::Guest;
use crate::queue::{Result, Settings};

/// A key says whose it is by its presence; but for the name of the data, which every sweep leaves.
pub(in crate::queue) async fn look_as_guest(settings: &Settings) -> Result<Guest> {
    let link = connect(settings).await?;
    let mut there = Vec::new();
    for key in every_key() {
        let is_there = link.call(async |mut c| cmd("EXISTS").arg(key).query_async(&mut c).await);
        if is_there.await? {
            there.push(key.to_owned());
        }
    }
    let data = there.iter().find(|key| *key != STORE).map(|key| format!("the key {key}"));
    Ok(Guest { there, data })
}

pub(in crate::queue) async fn leave_as_guest(settings: &Settings, guest: &Guest) -> Result<()> {
    let ours: Vec<&str> =
        every_key().filter(|key| !guest.there.iter().any(|there| there == key)).collect();
    let link = connect(settings).await?;
    link.call(async |mut c| cmd("DEL").arg(&ours).query_async(&mut c).await).await
}

fn every_key() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().chain([MEMBERS, SEARCH, STORE])
}

async fn connect(settings: &Settings) -> Result<Link> {
    Link::connect(&settings.address, None, settings.first_contact, settings.patience).await
}
