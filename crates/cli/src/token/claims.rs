//! Claims of a token: their selectors, and warnings about those that are probably not intended.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use ssekit_mercure::{Kind, Selector, shown};

/// Describes claims of a token that are valid but probably not intended.
pub(super) fn warnings(claims: &Value, now: SystemTime) -> Vec<String> {
    let selectors = ["publish", "subscribe"].into_iter().flat_map(|claim| {
        let stars =
            granted(claims, claim).unwrap_or_default().into_iter().filter(|text| has_literal_star(text));
        stars.take(MAX_NAMED).map(move |text| {
            format!(
                "the claim “mercure.{claim}” lists {}: `*` inside a selector is a plain character; only a \
                 selector that is `*` alone matches everything, and a template such as /books/{{id}} matches \
                 many topics",
                shown(text)
            )
        })
    });
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let latest = (since + CENTURY).as_secs_f64();
    let times = ["exp", "nbf"].into_iter().filter_map(|claim| {
        let time = claims.get(claim)?.as_f64().filter(|time| *time > latest)?;
        Some(format!(
            "the claim “{claim}” is {time}, more than 100 years in the future: it must be in seconds \
             since 1970, not milliseconds"
        ))
    });
    selectors.chain(times).collect()
}

/// Selectors of the claim.
pub(super) fn granted<'a>(claims: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    let grants = claims.get("https://mercure.rocks/").or_else(|| claims.get("mercure"))?;
    Some(grants.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// Whether a selector has a `*` that selects only itself.
///
/// It is not the whole selector, and not part of a template expression such as `{path*}`.
fn has_literal_star(text: &str) -> bool {
    let Ok(selector) = Selector::parse(text) else { return false };
    let literal = |text: &str| text.contains('*');
    match selector.kind() {
        Kind::Any => false,
        Kind::Exact => literal(text),
        Kind::Template => text.split('{').enumerate().any(|(at, part)| match part.split_once('}') {
            Some((_, rest)) if at > 0 => literal(rest),
            _ => literal(part),
        }),
    }
}

/// Maximum number of selectors of one claim that warnings name.
const MAX_NAMED: usize = 10;
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
