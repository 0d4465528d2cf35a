use std::ops::Deref;

use super::Channel;
use crate::error::Error;

/// A handle of a [`Channel`] that [fails](Channel::fail) it when it is dropped, unless it has ended before.
/// See [`Channel::close_on_drop`].
#[derive(Debug)]
#[must_use = "the channel fails when this is dropped"]
pub struct CloseOnDrop {
    channel: Channel,
}

impl CloseOnDrop {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }
}

impl Deref for CloseOnDrop {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if !self.channel.is_closed() {
            let how = if std::thread::panicking() { "panicked" } else { "was dropped" };
            self.channel.fail(Error::new(format!("its publisher {how} before it closed the channel")));
        }
    }
}
