//! Text formats of `/metrics`.
//!
//! Clients that ask for it get OpenMetrics 1.0, others Prometheus text 0.0.4.

use http::HeaderMap;
use http::header::ACCEPT;

pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the client names OpenMetrics and prefers it to plain text (RFC 9110, section 12.5.1).
pub(super) fn accepts_open_metrics(headers: &HeaderMap) -> bool {
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        match &*media_type {
            "application/openmetrics-text" => open = open.max(weight),
            "text/plain" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

/// Converts OpenMetrics text to version 0.0.4.
///
/// There, the metadata of a counter has the name of its sample, which ends in `_total`, and there is no `#
/// UNIT` and no `# EOF`.
pub(super) fn prometheus(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + open.len() / 16);
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let kind = if line.starts_with("# HELP ") { lines.peek().copied() } else { Some(line) };
        let is_counter = kind.is_some_and(|kind| kind.starts_with("# TYPE ") && kind.ends_with(" counter"));
        let mut words = line.splitn(4, ' ');
        match (is_counter, words.next(), words.next(), words.next(), words.next()) {
            (true, Some(mark), Some(keyword), Some(name), Some(rest)) => {
                text.extend([mark, " ", keyword, " ", name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_after_their_samples_and_nothing_else_changes() {
        let open = "# HELP a_seconds Counter of things.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"# EOF\"} 1\n\
                    # HELP c a counter.\n# TYPE c gauge\nc 2\n# EOF\n";
        let text = "# HELP a_seconds_total Counter of things.\n# TYPE a_seconds_total counter\na_seconds_total{b=\"# EOF\"} 1\n\
                    # HELP c a counter.\n# TYPE c gauge\nc 2\n";
        assert_eq!(prometheus(open), text);
    }

    #[test]
    fn open_metrics_is_for_clients_that_prefer_it() {
        // Prometheus itself sends the last one.
        for (accept, wanted) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.5", false),
            ("text/plain;q=0.5,Application/OpenMetrics-Text; version=1.0.0", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a value"))]);
            assert_eq!(accepts_open_metrics(&headers), wanted, "{accept}");
        }
        assert!(!accepts_open_metrics(&HeaderMap::new()));
    }
}
