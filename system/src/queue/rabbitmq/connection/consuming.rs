//! A channel on which something is consumed.

use std::ops::Deref;

use lapin::Channel;
use tokio::runtime::Handle;

/// A channel on which something is consumed. It is closed when this is dropped, and kept until the server has
/// answered.
///
/// Where the last handle of a channel goes before its consumers, and the connection breaks while a message comes,
/// two threads of the client library wait for each other for ever (lapin 4.12.3): the one that reads has the lock
/// of the channel's status and wants that of its consumers (`Channel::handle_content_header_frame`); the other drops
/// the consumers under their lock, and with the last of them the channel, whose status it wants to know
/// (`Consumers::error`, `ChannelCloser::drop`). That thread is the one on which everything here runs. There the channel
/// is closed before the library cancels its consumer; on a runtime of several threads that order would not be sure.
pub(in crate::queue::rabbitmq) struct ConsumingChannel(Channel);

impl From<Channel> for ConsumingChannel {
    fn from(channel: Channel) -> Self {
        Self(channel)
    }
}

impl Deref for ConsumingChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.0
    }
}

impl Drop for ConsumingChannel {
    fn drop(&mut self) {
        let channel = self.0.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let _ = channel.close(200, "thank you".into()).await;
            });
        }
    }
}
