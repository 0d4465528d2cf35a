use http::HeaderMap;

/// The id of the last event that a reconnecting client has received: the request's `Last-Event-ID`.
///
/// A client has one when an event has set it, by [`ids_from`](crate::Produce::ids_from) or an id of its own. See [the
/// standard, section 9.2.4](https://html.spec.whatwg.org/multipage/server-sent-events.html#last-event-id). With feature
/// `axum` it is an extractor.
///
/// ```
/// use http::HeaderMap;
/// use ssekit_server::LastEventId;
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(LastEventId::from_headers(&headers)?.as_str(), None);
/// headers.insert("last-event-id", "41".parse()?);
/// assert_eq!(LastEventId::from_headers(&headers)?.as_str(), Some("41"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LastEventId(String);

impl LastEventId {
    /// The id that the request carries in its header, if any. It is read as UTF-8, as the standard sends it.
    ///
    /// # Errors
    /// When the header is not UTF-8 or holds a character that no id has.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, InvalidLastEventId> {
        let bytes = headers.get("last-event-id").map_or(&b""[..], |value| value.as_bytes());
        Self::new(std::str::from_utf8(bytes).map_err(|_| InvalidLastEventId)?)
    }

    /// An id that came by another way, as in the query of the URL. Empty is none.
    ///
    /// # Errors
    /// When it holds CR, LF or NUL, which no id has.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidLastEventId> {
        let id = id.into();
        match id.contains(['\r', '\n', '\0']) {
            true => Err(InvalidLastEventId),
            false => Ok(Self(id)),
        }
    }

    /// The id; `None` for a client that comes for the first time.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

/// The request's `Last-Event-ID` is no id: it is not UTF-8, or holds CR, LF or NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the last event id is not UTF-8, or holds a line break or a NUL: send the id as it was received")]
pub struct InvalidLastEventId;
