use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

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

/// A channel that a stream reads has failed. Each of its streams has the same error.
#[derive(Clone)]
pub(crate) struct ChannelFailed {
    pub(crate) name: Option<Box<str>>,
    pub(crate) error: Arc<Error>,
}

impl fmt::Display for ChannelFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the channel `{name}` failed: {}", self.error),
            None => write!(f, "the channel failed: {}", self.error),
        }
    }
}

impl fmt::Debug for ChannelFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelFailed").field("name", &self.name).field("error", &self.error).finish()
    }
}

impl std::error::Error for ChannelFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
