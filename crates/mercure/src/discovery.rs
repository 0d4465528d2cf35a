//! The headers by which a hub is found, and a place in its history told.

use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The place before the first event of an answer, as the clients of today read it.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The same, as the coming standard names it.
pub const MERCURE_LAST_EVENT_ID: HeaderName = HeaderName::from_static("mercure-last-event-id");
/// The id before all others, and of an empty history.
pub const EARLIEST: &str = "earliest";

/// Says where the hub is: `Link: </.well-known/mercure>; rel="mercure"`.
pub fn link(hub_path: &str, answer: &mut HeaderMap) {
    append(answer, format!("<{hub_path}>; rel=\"mercure\""));
}

/// Says where the hub is, and after which event a subscriber misses nothing of what this answer holds.
pub fn link_after(hub_path: &str, last_event_id: &str, content_type: &str, answer: &mut HeaderMap) {
    let id: String = last_event_id
        .chars()
        .flat_map(|character| match character {
            '"' | '\\' => vec!['\\', character],
            _ => vec![character],
        })
        .collect();
    append(
        answer,
        format!("<{hub_path}>; rel=\"mercure\"; last-event-id=\"{id}\"; content-type=\"{content_type}\""),
    );
}

/// Says after which event the stream begins, to who has sent a last event ID: that one, an earlier one, or [`EARLIEST`].
pub fn begins_after(id: &str, answer: &mut HeaderMap) {
    // An id holds no control character, and beyond ASCII a header's value may have any.
    if let Ok(value) = HeaderValue::from_bytes(id.as_bytes()) {
        answer.insert(LAST_EVENT_ID, value.clone());
        answer.insert(MERCURE_LAST_EVENT_ID, value);
    }
}

fn append(answer: &mut HeaderMap, link: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(link)) {
        answer.append(LINK, value);
    }
}
