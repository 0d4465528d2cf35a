/// A channel's numbers at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStats {
    /// Streams that read it.
    pub subscribers: usize,
    /// Those of them that have read everything and wait.
    pub waiting: usize,
    /// Events that are held.
    pub events: u64,
    /// Bytes of them, encoded.
    pub bytes: usize,
    /// Events that were ever published.
    pub published: u64,
    /// Events that the slowest subscriber has yet to read.
    pub lag: u64,
    /// Events that were dropped before a subscriber had read them, counted for each.
    pub missed: u64,
}
