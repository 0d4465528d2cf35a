//! The media type of event streams, and the comparison of media types (RFC 9110, section 8.3.1). The only
//! parser of media types in ssekit.

/// The media type of an event stream.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The type and subtype of a `Content-Type`, or of one range of an `Accept`, without parameters and spaces.
///
/// ```
/// use ssekit::wire::media_type::essence;
///
/// assert_eq!(essence("text/event-stream; charset=utf-8"), "text/event-stream");
/// ```
#[inline]
pub fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim_ascii()
}

/// Whether a `Content-Type` has this type and subtype, in any case and with any parameters.
///
/// ```
/// use ssekit::wire::media_type::{EVENT_STREAM, is};
///
/// assert!(is("Text/Event-Stream;charset=utf-8", EVENT_STREAM));
/// assert!(!is("text/event-stream2", EVENT_STREAM));
/// ```
#[inline]
pub fn is(content_type: &str, wanted: &str) -> bool {
    essence(content_type).eq_ignore_ascii_case(wanted)
}

/// Whether an `Accept` names event streams among its ranges. Wildcards do not name them.
///
/// ```
/// use ssekit::wire::media_type::accepts_event_stream;
///
/// assert!(accepts_event_stream("text/html, text/event-stream;q=0.9"));
/// assert!(!accepts_event_stream("*/*"));
/// ```
pub fn accepts_event_stream(accept: &str) -> bool {
    accept.split(',').any(|range| is(range, EVENT_STREAM))
}
