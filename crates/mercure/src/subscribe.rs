//! Subscriptions: selectors, last event ID and token of a request.

use std::sync::Arc;
use std::time::SystemTime;

use http::request::Parts;

use super::access::Access;
use super::discovery::EARLIEST;
use super::form;
use super::limits::Limits;
use super::problem::{Kind, Problem};
use super::selector::Selector;
use super::text::{self, shown};
use super::token::Token;

/// Content of a subscription request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscribe {
    /// Selectors of the wanted updates, of which one must match; at least one, none twice.
    pub selectors: Vec<Selector>,
    /// The last event ID, if the request has one.
    pub cursor: Option<Cursor>,
    /// Token for private updates; `None` for an anonymous subscriber.
    pub token: Option<Arc<Token>>,
}

/// Position from which a subscriber continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The start of the history (`earliest`).
    Earliest,
    /// The position after the update with this id.
    After(Box<str>),
    /// The current end: the request has an empty id.
    Now,
}

impl Cursor {
    /// Reads a last event ID.
    ///
    /// # Errors
    /// 400 when no event could have this id.
    pub fn read(id: &str, limits: &Limits) -> Result<Self, Problem> {
        let invalid = |why: String| Err(Problem::new(Kind::InvalidId, why));
        if id.len() > limits.id {
            let length = id.len();
            return invalid(format!("the last event ID has {length} bytes; the limit is {}", limits.id));
        }
        if let Err(refused) = text::check(id) {
            return invalid(format!(
                "the last event ID {} contains {refused}, which no id contains",
                shown(id)
            ));
        }
        Ok(match id {
            "" => Self::Now,
            EARLIEST => Self::Earliest,
            _ => Self::After(id.into()),
        })
    }
}

impl Subscribe {
    /// Reads the request of a subscriber, and verifies its token as [`Access::subscriber`] does.
    ///
    /// The method does not matter.
    ///
    /// `topic`, which may be repeated, is a [selector](Selector::parse); `match` and `match_exact` are
    /// topics. The header `Last-Event-ID` has the last event ID, else the parameter `lastEventID`,
    /// `Last-Event-ID` or `last_event_id`, or one of these names in other case. Other parameters are ignored,
    /// except that a name that begins with `match` is refused: the hub would select the wrong updates if it
    /// ignored an unsupported matcher.
    ///
    /// # Errors
    /// 400 with the fault of the request, or the problem of [`Access::subscriber`].
    pub fn read(request: &Parts, access: &Access, limits: &Limits, now: SystemTime) -> Result<Self, Problem> {
        let token = access.subscriber(request, now)?;
        let mut selectors: Vec<Selector> = Vec::new();
        let mut cursor = Sent::of_header(request)?;
        let (mut count, mut variables) = (0, 0);
        for pair in form::pairs(request.uri.query().unwrap_or_default().as_bytes()) {
            let name = String::from_utf8_lossy(pair.name()).into_owned();
            if let Some(rank) = cursor_rank(&name) {
                cursor = Sent::better(cursor, Sent { rank, id: pair.text()? });
                continue;
            }
            if name != "topic" && !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("match")) {
                continue;
            }
            count += 1;
            if count > limits.selectors {
                return Err(invalid(format!(
                    "the subscription has more than {} topic selectors, which is the limit",
                    limits.selectors
                )));
            }
            let selector = selector(&name, &pair.text()?, limits)?;
            variables += selector.variables();
            if variables > limits.variables {
                return Err(invalid(format!(
                    "the templates of the subscription have more than {} variables in total, which is \
                     the limit",
                    limits.variables
                )));
            }
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        if selectors.is_empty()
            && let Some(name) = form::indexed_topic(request.uri.query().unwrap_or_default().as_bytes())
        {
            let words = format!(
                "the query has the parameter {name}: send a parameter “topic” for each topic instead"
            );
            return Err(Problem::new(Kind::MissingTopic, words));
        }
        if selectors.is_empty() {
            return Err(Problem::new(
                Kind::MissingTopic,
                "the query has no topic: add “?topic=” with a topic, a URI template or “*”",
            ));
        }
        let cursor = cursor.map(|sent| Cursor::read(&sent.id, limits)).transpose()?;
        Ok(Self { selectors, cursor, token })
    }
}

fn selector(name: &str, text: &str, limits: &Limits) -> Result<Selector, Problem> {
    if text.len() > limits.selector {
        let length = text.len();
        return Err(invalid(format!(
            "the selector {} has {length} bytes; the limit is {}",
            shown(text),
            limits.selector
        )));
    }
    let selector = match name {
        "topic" => Selector::parse(text),
        "match" | "match_exact" => Selector::exact(text),
        _ => {
            return Err(Problem::new(
                Kind::UnsupportedMatcher,
                format!(
                    "the parameter {} is not supported: use “topic”, “match” or “match_exact”",
                    shown(name)
                ),
            ));
        }
    };
    selector.map_err(|why| invalid(format!("the selector {} is invalid: {why}", shown(text))))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Kind::InvalidSelector, detail)
}

/// Last event ID of a request, with its rank: the lowest rank takes precedence, and an empty id never does.
struct Sent {
    rank: usize,
    id: String,
}

impl Sent {
    fn of_header(request: &Parts) -> Result<Option<Self>, Problem> {
        let Some(value) = request.headers.get("last-event-id") else { return Ok(None) };
        match std::str::from_utf8(value.as_bytes()) {
            // Comes before those of the query, whose ranks begin with 0 as well: `better` keeps the first.
            Ok(id) => Ok(Some(Self { rank: 0, id: id.to_owned() })),
            Err(_) => Err(Problem::new(Kind::NotUtf8, "the header Last-Event-ID is not valid UTF-8")),
        }
    }

    fn better(old: Option<Self>, new: Self) -> Option<Self> {
        match old {
            Some(old) if (old.id.is_empty(), old.rank) <= (new.id.is_empty(), new.rank) => Some(old),
            _ => Some(new),
        }
    }
}

/// Rank of a parameter that holds a last event ID; `None` for all others.
///
/// As in `ssekit-server`, case, `-` and `_` do not count: a client that writes `lastEventId` would otherwise
/// miss events without a notice.
fn cursor_rank(name: &str) -> Option<usize> {
    let letters = || name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
    let rank = CURSORS.iter().position(|cursor| *cursor == name);
    rank.or_else(|| {
        letters().map(|byte| byte.to_ascii_lowercase()).eq(*b"lasteventid").then_some(CURSORS.len())
    })
}

/// Parameters with a last event ID: of the 0.x protocol, of its drafts, and of version 1.0.
///
/// The first takes precedence.
const CURSORS: [&str; 3] = ["lastEventID", "Last-Event-ID", "last_event_id"];
