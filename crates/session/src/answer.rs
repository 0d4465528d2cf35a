use core::time::Duration;

use ssekit_wire::media_type;

/// The relevant parts of a response head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status. Redirects are for the shell to follow: one that it has not followed is a refusal.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Option<&'a str>,
    /// Its `Content-Encoding`, where the shell does not undo it.
    pub content_encoding: Option<&'a str>,
    /// The delay of its `Retry-After`.
    pub retry_after: Option<Duration>,
}

/// The meaning of a response for the connection.
pub(crate) enum Verdict {
    /// An event stream follows (HTML standard 9.2.2, "announce the connection").
    EventStream,
    NoContent,
    /// Nothing to listen to; its body may say why.
    Status,
    ContentType,
    ContentEncoding,
}

impl Answer<'_> {
    pub(crate) fn verdict(&self) -> Verdict {
        match self.status {
            200 => {}
            204 => return Verdict::NoContent,
            _ => return Verdict::Status,
        }
        if !self.content_type.is_some_and(|value| media_type::is(value, media_type::EVENT_STREAM)) {
            return Verdict::ContentType;
        }
        match self.content_encoding {
            Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => Verdict::ContentEncoding,
            _ => Verdict::EventStream,
        }
    }
}
