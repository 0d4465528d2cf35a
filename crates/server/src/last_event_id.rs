use http::{HeaderMap, Request};
use ssekit_wire::media_type::accepts_event_stream;

/// The id of the last event that a client has received, as it says itself: in the header `Last-Event-ID` when
/// it reconnects, or in the query of the URL. It is an extractor of every framework that has a feature here.
///
/// A client has one when an event has set it, by [`ids_from`](crate::Produce::ids_from) or an id of its own.
/// See [the standard, section
/// 9.2.4](https://html.spec.whatwg.org/multipage/server-sent-events.html#last-event-id). The header wins. A
/// browser's `EventSource` cannot set one on its first connection, so a page that was rendered with
/// everything up to some event asks for the rest by `?lastEventId=…`; case, `-` and `_` in that name do not
/// count. Empty is none.
///
/// ```
/// use http::Request;
/// use ssekit::LastEventId;
///
/// let first = Request::get("/events").body(())?;
/// assert_eq!(LastEventId::from_request(&first)?.as_str(), None);
/// let page = Request::get("/events?lastEventId=4%2F1").body(())?;
/// assert_eq!(LastEventId::from_request(&page)?.as_str(), Some("4/1"));
/// let returning = Request::get("/events?lastEventId=4%2F1").header("last-event-id", "42").body(())?;
/// assert_eq!(LastEventId::from_request(&returning)?.as_str(), Some("42"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LastEventId {
    id: String,
    /// The client never sends an id back: see [`resumes`](Self::resumes).
    is_final: bool,
}

impl LastEventId {
    /// The id that the request carries in its header or in its query, if any.
    ///
    /// # Errors
    /// When it is no id: see [`InvalidLastEventId`].
    pub fn from_request<B>(request: &Request<B>) -> Result<Self, InvalidLastEventId> {
        Self::read(|name| Some(request.headers().get(name)?.as_bytes()), request.uri().query())
    }

    /// The id that the request carries in its header, if any. It is read as UTF-8, as the standard sends it.
    ///
    /// # Errors
    /// When it is no id: see [`InvalidLastEventId`].
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, InvalidLastEventId> {
        Self::read(|name| Some(headers.get(name)?.as_bytes()), None)
    }

    /// An id that came by another way, as in the body of a request. Empty is none.
    ///
    /// # Errors
    /// When it is no id: see [`InvalidLastEventId`].
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidLastEventId> {
        let id = id.into();
        if id.len() > MAX_ID_BYTES {
            return Err(InvalidLastEventId::TooLong { bytes: id.len() });
        }
        match id.contains(['\r', '\n', '\0']) {
            true => Err(InvalidLastEventId::NotAnId),
            false => Ok(Self { id, is_final: false }),
        }
    }

    /// Reads the id of a request, given its headers by name and its query: for every framework's extractor.
    pub(crate) fn read<'a>(
        header: impl Fn(&'static str) -> Option<&'a [u8]>,
        query: Option<&str>,
    ) -> Result<Self, InvalidLastEventId> {
        if let Some(id) = header(HEADER).filter(|id| !id.is_empty()) {
            return Self::new(str::from_utf8(id).map_err(|_| InvalidLastEventId::NotAnId)?);
        }
        let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        match parameters.find(|(name, id)| is_parameter(name) && !id.is_empty()) {
            Some((_, id)) => Self::new(id),
            None => Ok(Self { id: String::new(), is_final: header("accept").is_some_and(accepts_no_stream) }),
        }
    }

    /// Returns true if the client may send an id back when it reconnects. Clients that do ask for event
    /// streams by their `Accept` header (HTML, section 9.2.2). The npm package sveltekit-sse does not: it
    /// never sends an id, and takes a block that has only an id for an event.
    pub(crate) fn resumes(&self) -> bool {
        !self.is_final
    }

    /// The id; `None` for a client that comes for the first time.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        (!self.id.is_empty()).then_some(self.id.as_str())
    }
}

pub(crate) const HEADER: &str = "last-event-id";
/// Far above any useful id, and within the limits of servers for a header.
pub(crate) const MAX_ID_BYTES: usize = 4 << 10;

/// Returns true if an `Accept` header does not name event streams.
fn accepts_no_stream(accept: &[u8]) -> bool {
    !std::str::from_utf8(accept).is_ok_and(accepts_event_stream)
}

/// `lastEventId`, `last-event-id`, `last_event_id`, `Last-Event-ID` and their kin.
fn is_parameter(name: &str) -> bool {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(*b"lasteventid")
}

/// Why the `Last-Event-ID` of a request is not one. Extractors answer it with 400 Bad Request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLastEventId {
    /// It is not UTF-8, or holds CR, LF or NUL, which no id has.
    #[error(
        "the last event id is not UTF-8, or contains a line break or NUL: send the id as it was received"
    )]
    NotAnId,
    /// It is longer than 4 KiB.
    #[error("the last event id has {bytes} bytes; the limit is {MAX_ID_BYTES}: use shorter ids")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}
