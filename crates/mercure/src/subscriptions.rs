//! Active subscriptions: the events that announce them, and the documents of the subscription API.

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

/// Media type of the API's answers.
pub const CONTENT_TYPE: &str = "application/ld+json";

/// One selector of a connected subscriber.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The selector.
    pub selector: Selector,
    /// Id of the subscriber ([`subscriber_id`]), the same for all subscriptions of a connection.
    pub subscriber: Box<str>,
    /// Payload of the subscriber's token, which other clients can see.
    pub payload: Option<Arc<Value>>,
}

impl Subscription {
    /// Path of the subscription in the API: `/subscriptions/{topic}/{subscriber}` below the hub's path.
    ///
    /// It is also the topic of the subscription's events.
    pub fn path(&self, hub_path: &str) -> String {
        format!("{}/{}/{}", all(hub_path), encoded(self.selector.text()), encoded(&self.subscriber))
    }

    /// Update that announces that the subscription has begun or ended.
    ///
    /// It is private: its readers have a token that grants its path.
    pub fn event(&self, hub_path: &str, active: bool) -> Record {
        let path = self.path(hub_path);
        let data = json(&self.document(&path, Some(CONTEXT), active, None));
        let mut body = Vec::with_capacity(data.len() + 16);
        Event::new(data).encode(&mut body);
        Record { topics: Arc::new([path.into_boxed_str()]), private: true, id: None, body: Bytes::from(body) }
    }

    /// Answer of the API for this subscription.
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

/// Answer of the API for several subscriptions.
///
/// `path` is the path of the request. If there are more, `next` is the subscriber after which they begin, and
/// the member `next` of the answer is their URL.
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

/// Parameter of the query that names the subscriber after which an answer begins.
///
/// # Errors
/// 400 when it does not decode to UTF-8.
pub fn after(query: Option<&str>) -> Result<Option<String>, Problem> {
    let mut pairs = form::pairs(query.unwrap_or_default().as_bytes());
    pairs.find(|pair| pair.name() == AFTER.as_bytes()).map(form::Pair::text).transpose()
}

/// Subscriptions that a request of the API asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All subscriptions.
    All,
    /// The subscriptions with this selector.
    Topic(String),
    /// The subscription with this selector, of this subscriber.
    One {
        /// Text of the selector.
        topic: String,
        /// Id of the subscriber.
        subscriber: String,
    },
}

impl Asked {
    /// Reads the encoded path of a request; `None` if the path does not belong to the API.
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

    /// Whether the request asks for this subscription.
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

/// Checks that the token grants to read this path of the API.
///
/// A selector of its claim `mercure.subscribe` must select the path, without host and query.
///
/// # Errors
/// 401 without a token, 403 when the token does not grant the path.
pub fn authorize(path: &str, token: Option<&Token>) -> Result<(), Problem> {
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

/// Whether a subscriber with these selectors and this token may get subscription events.
///
/// It is sometimes true for a subscriber that gets none, and never false for one that does.
pub fn may_be_read(selectors: &[Selector], token: Option<&Token>, hub_path: &str) -> bool {
    let below = format!("{}/", all(hub_path));
    let may_select = |selector: &Selector| {
        let prefix = selector.literal_prefix();
        prefix.starts_with(&*below) || selector.kind() != Kind::Exact && below.starts_with(prefix)
    };
    let granted = token.and_then(|token| token.subscribe.as_deref());
    granted.is_some_and(|granted| granted.iter().any(may_select)) && selectors.iter().any(may_select)
}

/// Makes the id of a subscriber: `urn:uuid:` and a UUID of version 4, from 128 random bits.
pub fn subscriber_id(random: u128) -> String {
    let bits = random & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Entity tag of an answer.
///
/// Each change of the subscriptions is an event, so the last event ID identifies their state.
pub fn etag(last_event_id: &str) -> HeaderValue {
    // `%` is encoded too, so that different ids have different tags.
    const QUOTED: &AsciiSet = &percent_encoding::CONTROLS.add(b'"').add(b'%').add(b' ');
    let tag = format!("\"{}\"", utf8_percent_encode(last_event_id, QUOTED));
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether the client already has the answer with this tag (RFC 9110, section 13.1.2).
pub fn is_current(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let wanted = etag.to_str().unwrap_or_default();
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        // The hub's ids have no comma. If another id has one, the answer is sent again.
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
    // Serialization cannot fail here: the keys are strings, and the numbers were read from JSON.
    serde_json::to_string(document).unwrap_or_default()
}

/// Path at which the API lists all subscriptions.
pub fn all(hub_path: &str) -> String {
    format!("{}/subscriptions", hub_path.trim_end_matches('/'))
}

/// Beginning of the topics of all subscription events.
pub fn below(hub_path: &str) -> String {
    all(hub_path) + "/"
}

/// Encodes a text as a simple expression of a URI template does.
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

/// Parameter of the query that names the subscriber after which an answer begins.
const AFTER: &str = "after";
