//! Headers that name the hub's URL and a position in its history.

use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Id of the last event before an answer's first event, as today's clients read it.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The same header under its name in Mercure 1.0.
pub const MERCURE_LAST_EVENT_ID: HeaderName = HeaderName::from_static("mercure-last-event-id");
/// The id before all others, which is also the last event ID of an empty history.
pub const EARLIEST: &str = "earliest";

/// Adds the URL of the hub: `Link: </.well-known/mercure>; rel="mercure"`.
pub fn link(hub_path: &str, answer: &mut HeaderMap) {
    append(answer, format!("<{hub_path}>; rel=\"mercure\""));
}

/// Adds the URL of the hub, and the last event ID with which a subscriber continues after this answer.
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

/// Adds the id after which a resumed stream begins.
///
/// It is the last event ID of the request, an earlier one, or [`EARLIEST`].
pub fn begins_after(id: &str, answer: &mut HeaderMap) {
    // An id has no control characters, and a header value may have any byte beyond ASCII.
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
