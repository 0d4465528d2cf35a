use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
    UPGRADE,
};
use ssekit_wire::media_type::EVENT_STREAM;

/// The headers of every event stream: no cache may keep it, no proxy may compress it (a compressor holds
/// events back), and nginx and its kin may not buffer it.
pub(crate) const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, EVENT_STREAM),
    (CACHE_CONTROL, "no-store, no-transform"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

/// The reason of a refusal, as text for people: `EventSource` does not show it.
pub(crate) const REFUSED: HeaderName = HeaderName::from_static("ssekit-refused");

/// Headers that belong to the connection: a stream has no length, and HTTP/2 forbids the others.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Checks a header that is to be set.
pub(crate) fn header<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), HeaderError>
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let name = name.try_into().map_err(|_| HeaderError::Name)?;
    if OF_THE_CONNECTION.contains(&name) {
        return Err(HeaderError::OfTheConnection { name });
    }
    match value.try_into() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(HeaderError::Value { name }),
    }
}

/// The response cannot be built: a header was not accepted, or the ids that clients send back in one would be
/// too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is none.
    #[error("a header of the event stream has an invalid name: use letters, digits and `-`")]
    Name,
    /// The value holds a character that a header cannot carry, as a line feed.
    #[error(
        "the value of the header `{name}` contains a character that headers cannot contain, such as a line \
         feed: remove it"
    )]
    Value {
        /// The header.
        name: HeaderName,
    },
    /// The header is the connection's to set.
    #[error("the header `{name}` cannot be set for an event stream: omit it")]
    OfTheConnection {
        /// The header.
        name: HeaderName,
    },
    /// The stream reads more channels than its ids could name.
    #[error("the stream reads {channels} channels; the limit is {limit}: open several streams")]
    TooManyChannels {
        /// Channels that it is to read.
        channels: usize,
        /// Channels that one stream can read.
        limit: usize,
    },
}
