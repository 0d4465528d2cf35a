//! Limits of requests, tokens and batches, with their defaults.

/// Limits of a request, a token and a batch.
///
/// The input of a peer is compared with its limit before it costs more than reading it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a publication's body. Beyond: 413.
    pub body: usize,
    /// Publications in one batch. Beyond: 413.
    pub batch: usize,
    /// Topics of one publication. Beyond: 413.
    pub topics: usize,
    /// Bytes of a topic. Beyond: 413.
    pub topic: usize,
    /// Bytes of an id that a publisher chooses. Beyond: 413.
    pub id: usize,
    /// Bytes of an event's type. Beyond: 413.
    pub event_type: usize,
    /// Selectors of one subscription. Beyond: 400.
    pub selectors: usize,
    /// Variables of all templates of one subscription: each is a pass over every published topic.
    ///
    /// Beyond: 400.
    pub variables: usize,
    /// Variables of the templates of all subscribers that one topic is tried with.
    ///
    /// Subscribers without a token may use half of them.
    ///
    /// Only templates whose literal prefix the topic has are added up, and templates that are equal up to the
    /// names of variables count once. A variable with a maximum length counts as eight, 16 bytes of literals
    /// behind the prefix as one. Beyond: 200, `retry:` and the end, or 503.
    pub hub_variables: u32,
    /// Cost of matching one publication. Beyond: 413.
    ///
    /// For each topic, it is the number of variables that the topic is tried with, times its length in pieces
    /// of 64 bytes.
    pub matching: u64,
    /// Bytes of a selector. Beyond: 400.
    pub selector: usize,
    /// Bytes of a token. Beyond: 401.
    pub token: usize,
    /// Selectors in one claim of a token. Beyond: 401.
    pub claim_selectors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            batch: 10_000,
            topics: 1000,
            topic: 4096,
            id: 1024,
            event_type: 1024,
            selectors: 100,
            variables: 256,
            hub_variables: 8192,
            matching: 1 << 22,
            selector: 4096,
            token: 8 << 10,
            claim_selectors: 500,
        }
    }
}
