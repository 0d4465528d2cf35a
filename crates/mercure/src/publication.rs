//! Publications as forms: they are checked, and encoded as records.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ssekit_log::Record;
use ssekit_wire::{Event, media_type};

use super::discovery::EARLIEST;
use super::form;
use super::ids::Ids;
use super::limits::Limits;
use super::namespace;
use super::problem::{Kind, Problem};
use super::text::{self, shown};

/// Reads a publication: a form (draft-ietf-mercure, section "Publication").
///
/// The fields are `topic`, at least once and the canonical one first; `data`; `private`, whose presence
/// counts and not its value; `id`, `type` and `retry`, which count as absent if they are empty. Other fields
/// are refused: a misspelt `private` would make an update public. Each line of the data becomes a line of the
/// event, so that the data can neither end the event nor add a field.
///
/// ```
/// use ssekit_mercure::{Limits, publication};
///
/// let form = Some("application/x-www-form-urlencoded");
/// let body = b"topic=https://example.com/1&data=a%0Ab&private=on";
/// let record = publication(form, body, "/.well-known/mercure", &Limits::default())?;
/// assert_eq!(&*record.topics[0], "https://example.com/1");
/// assert_eq!(record.body, "data: a\ndata: b\n\n");
/// assert!(record.private);
/// # Ok::<(), ssekit_mercure::Problem>(())
/// ```
///
/// # Errors
/// With the field and its fault.
pub fn publication(
    content_type: Option<&str>,
    body: &[u8],
    hub_path: &str,
    limits: &Limits,
) -> Result<Record, Problem> {
    expect_type(content_type, "application/x-www-form-urlencoded")?;
    let mut draft = Draft::default();
    expect_size("the body", "bytes", body.len(), limits.body)?;
    for pair in form::pairs(body) {
        match pair.name() {
            b"topic" => {
                expect_size("the publication", "topics", draft.topics.len() + 1, limits.topics)?;
                draft.topics.push(pair.text()?);
            }
            b"data" => once(&mut draft.data, "data", pair.text()?)?,
            b"private" => draft.private = true,
            b"id" => once(&mut draft.id, "id", pair.text()?)?,
            b"type" => once(&mut draft.event_type, "type", pair.text()?)?,
            b"retry" => once(&mut draft.retry, "retry", pair.text()?)?,
            name => return Err(unknown_field(&String::from_utf8_lossy(name))),
        }
    }
    let retry = match draft.retry.take().filter(|retry| !retry.is_empty()) {
        Some(retry) => Some(milliseconds(&retry)?),
        None => None,
    };
    draft.record(retry, hub_path, limits)
}

/// Fields of a publication that are not checked yet.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) topics: Vec<String>,
    pub(super) data: Option<String>,
    pub(super) private: bool,
    pub(super) id: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) retry: Option<String>,
}

impl Draft {
    /// Checks all fields, and encodes the event.
    pub(super) fn record(
        self,
        retry: Option<u64>,
        hub_path: &str,
        limits: &Limits,
    ) -> Result<Record, Problem> {
        if self.topics.is_empty() {
            return Err(Problem::new(
                Kind::MissingTopic,
                "the publication has no topic: add a field “topic”",
            ));
        }
        expect_size("the publication", "topics", self.topics.len(), limits.topics)?;
        for topic in &self.topics {
            check_topic(topic, hub_path, limits)?;
        }
        let id = self.id.filter(|id| !id.is_empty());
        if let Some(id) = &id {
            check_id(id, limits)?;
        }
        let data = self.data.unwrap_or_default();
        let mut event = Event::new(data.as_str());
        if let Some(name) = self.event_type.as_deref().filter(|name| !name.is_empty()) {
            check_event_type(name, limits)?;
            event =
                event.with_event(name).map_err(|error| Problem::new(Kind::InvalidType, error.to_string()))?;
        }
        if let Some(retry) = retry {
            event = event.with_retry(Duration::from_millis(retry));
        }
        let mut body = Vec::with_capacity(data.len() + 64);
        event.encode(&mut body);
        Ok(Record {
            topics: self.topics.into_iter().map(String::into_boxed_str).collect::<Arc<[_]>>(),
            private: self.private,
            id: id.map(String::into_boxed_str),
            body: Bytes::from(body),
        })
    }
}

/// Checks the media type: its essence, and `charset`, which must be UTF-8 if present.
///
/// A request without a type is accepted.
pub(super) fn expect_type(content_type: Option<&str>, wanted: &str) -> Result<(), Problem> {
    let Some(content_type) = content_type else { return Ok(()) };
    let charset = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
    });
    let utf8 = charset
        .is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8"));
    if media_type::is(content_type, wanted) && utf8 {
        return Ok(());
    }
    Err(Problem::new(
        Kind::UnsupportedMediaType,
        format!("the content type {} is not supported: send {wanted} in UTF-8", shown(content_type)),
    ))
}

/// Refuses a size above a limit, with 413.
pub(super) fn expect_size(what: &str, unit: &str, size: usize, most: usize) -> Result<(), Problem> {
    if size <= most {
        return Ok(());
    }
    Err(Problem::new(Kind::TooLarge, format!("{what} has {size} {unit}; the limit is {most}")))
}

/// Checks a topic that a publisher uses.
pub(super) fn check_topic(topic: &str, hub_path: &str, limits: &Limits) -> Result<(), Problem> {
    let invalid = |why: String| Err(Problem::new(Kind::InvalidTopic, why));
    if topic.is_empty() {
        return invalid("a topic of the publication is empty".to_owned());
    }
    if topic == "*" {
        return invalid("“*” is a selector, not a topic: name the topics of the update".to_owned());
    }
    expect_size(&format!("the topic {}", shown(topic)), "bytes", topic.len(), limits.topic)?;
    if let Err(refused) = text::check(topic) {
        return invalid(format!(
            "the topic {} contains {refused}: remove or percent-encode it",
            shown(topic)
        ));
    }
    if namespace::is_reserved(topic, hub_path) {
        return Err(Problem::new(
            Kind::ReservedTopic,
            format!(
                "the topic {} is reserved: only the hub publishes to {hub_path} and the paths below it; \
                 choose another topic",
                shown(topic)
            ),
        ));
    }
    Ok(())
}

fn check_id(id: &str, limits: &Limits) -> Result<(), Problem> {
    let invalid = |why: String| Err(Problem::new(Kind::InvalidId, why));
    expect_size("the id", "bytes", id.len(), limits.id)?;
    if let Err(refused) = text::check(id) {
        return invalid(format!("the id {} contains {refused}: remove it", shown(id)));
    }
    if id.trim_matches([' ', '\t']).len() != id.len() {
        return invalid(format!(
            "the id {} begins or ends with a space, which HTTP removes from the header Last-Event-ID: \
             remove it",
            shown(id)
        ));
    }
    if Ids::have_the_form_of(id) {
        return invalid(format!(
            "the id {} has the format of ids that the hub generates: choose another id",
            shown(id)
        ));
    }
    if id.starts_with('#') {
        return invalid(format!(
            "the id {} begins with “#”, which is reserved for ids of the hub: choose another id",
            shown(id)
        ));
    }
    if id == EARLIEST {
        return invalid(
            "the id “earliest” is reserved for the start of the history: choose another id".to_owned(),
        );
    }
    Ok(())
}

fn check_event_type(name: &str, limits: &Limits) -> Result<(), Problem> {
    let invalid = |why: String| Err(Problem::new(Kind::InvalidType, why));
    expect_size("the event type", "bytes", name.len(), limits.event_type)?;
    if let Err(refused) = text::check(name) {
        return invalid(format!("the event type {} contains {refused}: remove it", shown(name)));
    }
    if namespace::OWN_TYPES.contains(&name) {
        return invalid(format!(
            "the event type “{name}” is reserved for events of the hub: choose another type"
        ));
    }
    Ok(())
}

/// Answer to a field that no publication has.
fn unknown_field(name: &str) -> Problem {
    let meant = match name {
        "event" => Some("type"),
        // Drafts before `private` restricted an update with this field.
        "target" => Some("private"),
        _ => FIELDS.into_iter().find(|field| is_like(name, field)),
    };
    let meant = meant.map(|field| format!("; did you mean “{field}”?")).unwrap_or_default();
    let fields = FIELDS.join(", ");
    let name = shown(name);
    Problem::new(
        Kind::UnknownField,
        format!("unknown field {name}; the fields of a publication are {fields}{meant}"),
    )
}

/// Whether a name is nearly that of a field, or the form `topic[]` in which programs write lists.
fn is_like(name: &str, field: &str) -> bool {
    let name = name.split('[').next().unwrap_or_default();
    // Short names alone, so that the comparison costs little.
    name.len() <= field.len() + 2 && strsim::osa_distance(&name.to_lowercase(), field) <= field.len() / 3
}

/// The fields of a publication.
const FIELDS: [&str; 6] = ["topic", "data", "private", "id", "type", "retry"];

/// Reads ASCII digits whose number fits into 64 bits.
fn milliseconds(text: &str) -> Result<u64, Problem> {
    // `parse` would accept a sign.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| {
        Problem::new(
            Kind::InvalidRetry,
            format!("the reconnection time {} is invalid: send whole milliseconds, digits only", shown(text)),
        )
    })
}

/// Stores a field that may occur once.
fn once(field: &mut Option<String>, name: &str, value: String) -> Result<(), Problem> {
    if field.replace(value).is_some() {
        return Err(Problem::new(
            Kind::RepeatedField,
            format!("the field “{name}” occurs more than once; only “topic” may be repeated"),
        ));
    }
    Ok(())
}
