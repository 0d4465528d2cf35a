//! The encodings that a client accepts (RFC 9110, section 12.5.3).

use super::Encoding;
use crate::produce::Produce;

impl Encoding {
    /// The encoding with the best ratio of saving and cost comes first.
    const ALL: &[Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        #[cfg(feature = "brotli")]
        Self::Brotli,
        #[cfg(feature = "gzip")]
        Self::Gzip,
    ];

    /// The encoding that the client likes best, of those that are compiled in.
    fn accepted(header: &str) -> Option<Self> {
        let weight = |encoding: &Self| {
            let mut weight = None;
            for item in header.split(',') {
                let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
                let name = name.trim();
                let own = name.eq_ignore_ascii_case(encoding.name())
                    || encoding.name() == "gzip" && name.eq_ignore_ascii_case("x-gzip");
                // The weight of `*` applies to encodings that are not named.
                if own || name == "*" && weight.is_none() {
                    weight = Some(thousandths(parameters));
                }
            }
            weight.unwrap_or(0)
        };
        // Of equals, `max_by_key` gives the last.
        let best = Self::ALL.iter().rev().max_by_key(|encoding| weight(encoding)).copied();
        best.filter(|encoding| weight(encoding) > 0)
    }
}

/// The weight, 1000 unless given; 0 if it makes no sense.
fn thousandths(parameters: &str) -> u32 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    match weight.map(str::parse::<f32>) {
        None => 1000,
        Some(Ok(weight)) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u32,
        Some(_) => 0,
    }
}

impl Produce {
    /// Compresses the stream, if the request's `Accept-Encoding` allows one of those whose features are on:
    /// `zstd`, `brotli`, `gzip`, in this order unless the client has a preference. Off unless called, and
    /// with an empty value.
    ///
    /// No event is held back: each piece is compressed and flushed at once. Streams that read one
    /// [`Channel`](crate::Channel) as it is (no filter, no second channel) share the compressed bytes; each
    /// event, or each run of events that leave together, is then compressed by itself. Other streams have a
    /// compressor each, with a history, which takes some 300 KiB to 2 MiB.
    ///
    /// Small events gain little, and it takes time in the connection's task: some 20 µs for an event of 1 KB,
    /// 1 ms for 64 KB. If an attacker can choose a part of a compressed text, its length reveals
    /// other parts (as in BREACH): do not compress secrets.
    ///
    /// ```
    /// use http::{HeaderMap, header::ACCEPT_ENCODING};
    /// use ssekit::{Channel, LastEventId, Produce};
    ///
    /// fn events(headers: &HeaderMap, news: &Channel, last: LastEventId) -> Produce {
    ///     let accepted = headers.get(ACCEPT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    ///     news.subscribe(last).compress(accepted)
    /// }
    /// # let _ = events;
    /// ```
    pub fn compress(mut self, accept_encoding: impl AsRef<[u8]>) -> Self {
        let header = std::str::from_utf8(accept_encoding.as_ref()).unwrap_or_default();
        self.negotiated(Encoding::accepted(header));
        self
    }
}
