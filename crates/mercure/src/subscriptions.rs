//! Active subscriptions: the events that tell of them, and the API that lists them.

use std::sync::Arc;

use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use ssekit_log::Record;
use ssekit_wire::Event;

use super::access::not_granted;
use super::form;
use super::problem::{Kind as ProblemKind, Problem};
use super::selector::{Kind, Selector};
use super::text::shown;
use super::token::Token;

/// The type of what the API answers.
pub const CONTENT_TYPE: &str = "application/ld+json";

/// A selector of a connected subscriber.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// What is subscribed to.
    pub selector: Selector,
    /// Who subscribes: [`subscriber_id`], the same for all subscriptions of a connection.
    pub subscriber: Box<str>,
    /// What its token tells others of it.
    pub payload: Option<Arc<Value>>,
}

impl Subscription {
    /// Where the API shows it: `/subscriptions/{topic}/{subscriber}` below the hub's path, which is also the topic of its events.
    pub fn path(&self, hub_path: &str) -> String {
        format!("{}/{}/{}", all(hub_path), encoded(self.selector.text()), encoded(&self.subscriber))
    }

    /// The update that tells that it has begun, or ended. It is private: who may read it has a token that grants its path.
    pub fn event(&self, hub_path: &str, active: bool) -> Record {
        let path = self.path(hub_path);
        let data = json(&self.document(&path, Some(CONTEXT), active, None));
        let mut body = Vec::with_capacity(data.len() + 16);
        Event::new(data).encode(&mut body);
        Record { topics: Arc::new([path.into_boxed_str()]), private: true, id: None, body: Bytes::from(body) }
    }

    /// What the API answers for this one.
    pub fn json(&self, hub_path: &str, last_event_id: &str) -> String {
        json(&self.document(&self.path(hub_path), Some(CONTEXT), true, Some(last_event_id)))
    }

    fn document<'a>(
        &'a self,
        path: &'a str,
        context: Option<&'static str>,
        active: bool,
        last_event_id: Option<&'a str>,
    ) -> Document<'a> {
        Document {
            context,
            id: path,
            kind: "Subscription",
            topic: self.selector.text(),
            subscriber: &self.subscriber,
            active,
            last_event_id,
            payload: self.payload.as_deref(),
        }
    }
}

/// What the API answers for several; `path` is that of the request. Where there are more, `next` is the subscriber after whom they come: its
/// member `next` is where to ask for them.
pub fn collection<'a>(
    path: &str,
    hub_path: &str,
    last_event_id: &str,
    subscriptions: impl IntoIterator<Item = &'a Subscription>,
    next: Option<&str>,
) -> String {
    let subscriptions: Vec<(String, &Subscription)> =
        subscriptions.into_iter().map(|one| (one.path(hub_path), one)).collect();
    json(&Collection {
        context: CONTEXT,
        id: path,
        kind: "Subscriptions",
        last_event_id,
        subscriptions: subscriptions.iter().map(|(path, one)| one.document(path, None, true, None)).collect(),
        next: next.map(|subscriber| format!("{path}?{AFTER}={}", encoded(subscriber))),
    })
}

/// The subscriber after whom those begin that are asked for, if the query says one.
///
/// # Errors
/// 400 when it does not decode to UTF-8.
pub fn after(query: Option<&str>) -> Result<Option<String>, Problem> {
    let mut pairs = form::pairs(query.unwrap_or_default().as_bytes());
    pairs.find(|pair| pair.name() == AFTER.as_bytes()).map(form::Pair::text).transpose()
}

/// What somebody asks of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All subscriptions.
    All,
    /// Those with this selector.
    Topic(String),
    /// The one with this selector, of this subscriber.
    One {
        /// The selector's text.
        topic: String,
        /// The subscriber's id.
        subscriber: String,
    },
}

impl Asked {
    /// Reads a path, as it stands in the request; nothing when it is not one of the API.
    ///
    /// # Errors
    /// 400 when a part of it does not decode to UTF-8.
    pub fn read(path: &str, hub_path: &str) -> Result<Option<Self>, Problem> {
        let Some(rest) = path.strip_prefix(&*all(hub_path)) else { return Ok(None) };
        let parts: Vec<&str> = rest.split('/').take(4).collect();
        Ok(match parts[..] {
            [""] => Some(Self::All),
            ["", topic] if !topic.is_empty() => Some(Self::Topic(decoded(topic)?)),
            ["", topic, subscriber] if !topic.is_empty() && !subscriber.is_empty() => {
                Some(Self::One { topic: decoded(topic)?, subscriber: decoded(subscriber)? })
            }
            _ => None,
        })
    }

    /// Whether a subscription is among those asked for.
    pub fn includes(&self, subscription: &Subscription) -> bool {
        match self {
            Self::All => true,
            Self::Topic(topic) => subscription.selector.text() == topic,
            Self::One { topic, subscriber } => {
                subscription.selector.text() == topic && *subscription.subscriber == **subscriber
            }
        }
    }
}

/// Whether the token grants to read this path of the API: a selector of its claim `mercure.subscribe` selects the path, without host and query.
///
/// # Errors
/// 401 without a token, 403 when it does not grant it.
pub fn authorise(path: &str, token: Option<&Token>) -> Result<(), Problem> {
    match token {
        None => Err(Problem::new(
            ProblemKind::MissingToken,
            format!("reading subscriptions needs a token whose claim “mercure.subscribe” matches {path}"),
        )),
        Some(token) if token.may_subscribe(path) => Ok(()),
        Some(token) => {
            Err(Problem::new(ProblemKind::InsufficientScope, not_granted(token, "subscribe", path)))
        }
    }
}

/// Whether an event of a subscription may be for a subscriber with these selectors and this token. Sometimes yes where none is, never the other way
/// round.
pub fn may_be_read(selectors: &[Selector], token: Option<&Token>, hub_path: &str) -> bool {
    let below = format!("{}/", all(hub_path));
    let may_select = |selector: &Selector| {
        let prefix = selector.literal_prefix();
        prefix.starts_with(&*below) || selector.kind() != Kind::Exact && below.starts_with(prefix)
    };
    let granted = token.and_then(|token| token.subscribe.as_deref());
    granted.is_some_and(|granted| granted.iter().any(may_select)) && selectors.iter().any(may_select)
}

/// The id of a subscriber: `urn:uuid:` and a UUID of version 4, made of 128 random bits.
pub fn subscriber_id(random: u128) -> String {
    let bits = random & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The entity tag of an answer: every change of the subscriptions is an event, so that the last event ID names their state.
pub fn etag(last_event_id: &str) -> HeaderValue {
    // `%` as well, so that no two ids have one tag.
    const QUOTED: &AsciiSet = &percent_encoding::CONTROLS.add(b'"').add(b'%').add(b' ');
    let tag = format!("\"{}\"", utf8_percent_encode(last_event_id, QUOTED));
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether the client has the answer with this tag already (RFC 9110, section 13.1.2): then 304 will do.
pub fn is_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let wanted = etag.to_str().unwrap_or_default();
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        // An id of ours has no comma, and one with a comma is only sent again.
        value.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == wanted)
    })
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    topic: &'a str,
    subscriber: &'a str,
    active: bool,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

#[derive(Serialize)]
struct Collection<'a> {
    #[serde(rename = "@context")]
    context: &'static str,
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "lastEventID")]
    last_event_id: &'a str,
    subscriptions: Vec<Document<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn json(document: &impl Serialize) -> String {
    // Nothing in these can fail: their keys are strings and their numbers were read from JSON.
    serde_json::to_string(document).unwrap_or_default()
}

/// Where the API lists all subscriptions.
pub fn all(hub_path: &str) -> String {
    format!("{}/subscriptions", hub_path.trim_end_matches('/'))
}

/// What the topics of all subscription events begin with.
pub fn below(hub_path: &str) -> String {
    all(hub_path) + "/"
}

/// As a simple expression of a URI template has it.
fn encoded(text: &str) -> impl std::fmt::Display {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

fn decoded(part: &str) -> Result<String, Problem> {
    match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Problem::new(
            ProblemKind::NotUtf8,
            format!("the path segment {} is not valid UTF-8 when decoded", shown(part)),
        )),
    }
}

const CONTEXT: &str = "https://mercure.rocks/";

/// The parameter of the query that says where an answer goes on.
const AFTER: &str = "after";
