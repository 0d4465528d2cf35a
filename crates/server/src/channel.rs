//! Channels: logs of events that any number of streams read.

pub(crate) mod reader;
