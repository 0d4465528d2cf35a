//! Topics and event types that only the hub publishes.

use percent_encoding::percent_decode_str;
use url::Url;

/// Types of events that only the hub publishes: about lost updates and about subscriptions.
pub(super) const OWN_TYPES: [&str; 3] = ["mercure", "reset", "gap"];

/// Whether a topic belongs to the hub.
///
/// Relative to the hub's URL, such a topic has the hub's path, or one below it, with any host and scheme.
///
/// The topic is parsed by the WHATWG URL standard, with dot segments resolved; a percent-encoded character
/// that needs no encoding equals the plain one. A topic that cannot be parsed is not reserved.
pub(super) fn is_reserved(topic: &str, hub_path: &str) -> bool {
    if !may_be_reserved(topic, hub_path) {
        return false;
    }
    // Only the path matters, so any host will do. `http:mercure` is relative to a hub of that scheme.
    let http = topic.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
    let base = if http { "http://hub.invalid" } else { "https://hub.invalid" };
    let Ok(hub) = Url::parse(base).and_then(|base| base.join(hub_path)) else { return false };
    let Ok(url) = hub.join(topic) else { return false };
    let path = plain(url.path());
    let hub_path = plain(hub.path());
    path.strip_prefix(hub_path.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Excludes most topics quickly, without parsing them.
///
/// A topic with a path of its own and without a percent sign must contain the last part of the hub's path.
fn may_be_reserved(topic: &str, hub_path: &str) -> bool {
    let last = hub_path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let has_path = ["/", "https://", "http://"].iter().any(|start| topic.starts_with(start));
    !has_path || topic.contains('%') || topic.contains(last)
}

/// Decodes the unreserved characters of a path.
fn plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let triplet = rest.get(at..at + 3).unwrap_or_else(|| &rest[at..]);
        match percent_decode_str(triplet).next() {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte))
            }
            _ => plain.push_str(triplet),
        }
        rest = &rest[at + triplet.len()..];
    }
    plain.push_str(rest);
    plain
}
