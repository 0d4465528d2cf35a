/// How much a request, a token or a batch may ask for.
///
/// Everything that a peer sends is counted against one of these before it costs more than reading it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Variables of all templates of one subscription: each is a pass over every topic that is published. Beyond: 400.
    pub variables: usize,
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
            selector: 4096,
            token: 8 << 10,
            claim_selectors: 500,
        }
    }
}
