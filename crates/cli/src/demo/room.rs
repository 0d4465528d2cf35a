//! Rules of the chat room: visitors and messages, without sockets.

use serde::Serialize;
use ssekit_server::{Clients, PresenceChange};

/// Maximum length of a name in characters.
pub(crate) const MAX_NAME: usize = 32;
/// Maximum length of a message in characters.
pub(crate) const MAX_TEXT: usize = 500;
/// Number of messages that are kept for new and returning visitors.
pub(crate) const MAX_HISTORY: u64 = 50;

/// Message: the data of a `chat` event.
#[derive(Debug, Serialize)]
pub(crate) struct ChatMessage {
    from: Name,
    text: Text,
    /// Milliseconds since 1970.
    at: u64,
}

/// Name that can be shown: 1 to 32 characters on one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Name(String);

/// Text that can be shown: 1 to 500 characters.
#[derive(Debug, Serialize)]
struct Text(String);

/// Visitors, and the last change: the data of a `people` event.
#[derive(Debug, Serialize)]
pub(crate) struct People {
    people: Vec<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Name>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Person {
    name: Name,
    /// Open streams of this name: one for each tab.
    streams: usize,
}

impl ChatMessage {
    /// Makes a message, or returns why the name or the text cannot be shown.
    pub(crate) fn new(from: String, text: String, at: u64) -> Result<Self, String> {
        Ok(Self { from: from.try_into()?, text: text.try_into()?, at })
    }
}

impl People {
    /// Visitors after this change.
    pub(crate) fn after(change: PresenceChange<Name>, clients: &Clients<Name>) -> Self {
        let (joined, left) = match change {
            PresenceChange::Joined { key, streams: 1 } => (Some(key), None),
            PresenceChange::Left { key, streams: 0 } => (None, Some(key)),
            // Another tab of a visitor, or more changes than can be reported one by one.
            _ => (None, None),
        };
        let here = clients.keys().into_iter().map(|name| Person { streams: clients.get(&name).len(), name });
        let mut people: Vec<_> = here.filter(|person| person.streams > 0).collect();
        people.sort();
        Self { people, joined, left }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        visible("name", &name, MAX_NAME, |character| !character.is_control()).map(Self)
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        visible("message", &text, MAX_TEXT, |character| character == '\n' || !character.is_control())
            .map(Self)
    }
}

/// Trims the text and checks that it is visible.
fn visible(label: &str, text: &str, most: usize, is_allowed: fn(char) -> bool) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the {label} is empty"));
    }
    if text.chars().nth(most).is_some() {
        return Err(format!("the {label} is longer than {most} characters"));
    }
    if !text.chars().all(is_allowed) {
        return Err(format!("the {label} contains a control character"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_joins_with_its_first_stream_and_leaves_with_its_last() {
        let clients = Clients::new();
        let [ada, grace] = ["Ada", "Grace"].map(|name| Name(name.to_owned()));
        let after = |change| serde_json::to_string(&People::after(change, &clients)).expect("plain data");
        let joined = |key: &Name, streams| after(PresenceChange::Joined { key: key.clone(), streams });
        let left = |key: &Name, streams| after(PresenceChange::Left { key: key.clone(), streams });

        let first = clients.connect(grace.clone()).response();
        assert_eq!(joined(&grace, 1), r#"{"people":[{"name":"Grace","streams":1}],"joined":"Grace"}"#);
        let tabs = [(); 2].map(|()| clients.connect(ada.clone()).response());
        let both = r#"{"people":[{"name":"Ada","streams":2},{"name":"Grace","streams":1}]"#;
        assert_eq!(joined(&ada, 2), format!("{both}}}"));
        assert_eq!(after(PresenceChange::Missed(7)), format!("{both}}}"));
        drop(first);
        assert_eq!(left(&grace, 0), r#"{"people":[{"name":"Ada","streams":2}],"left":"Grace"}"#);
        let [one, other] = tabs;
        drop(one);
        assert_eq!(left(&ada, 1), r#"{"people":[{"name":"Ada","streams":1}]}"#);
        drop(other);
        assert_eq!(left(&ada, 0), r#"{"people":[],"left":"Ada"}"#);
    }

    #[test]
    fn names_and_messages_are_limited_and_visible() {
        for (good, shown) in [(" Ada ", "Ada"), ("Zoë 👩‍🚀", "Zoë 👩‍🚀"), (&"x".repeat(32), &"x".repeat(32))]
        {
            assert_eq!(Name::try_from(good.to_owned()), Ok(Name(shown.to_owned())));
        }
        for (bad, why) in [
            ("", "the name is empty"),
            (" \t ", "the name is empty"),
            ("a\nb", "the name contains a control character"),
            ("a\u{1b}[2Jb", "the name contains a control character"),
            (&"é".repeat(33), "the name is longer than 32 characters"),
        ] {
            assert_eq!(Name::try_from(bad.to_owned()), Err(why.to_owned()));
        }
        assert!(Text::try_from("two\nlines".to_owned()).is_ok());
        assert!(Text::try_from("a\rb".to_owned()).is_err());
        assert!(Text::try_from("x".repeat(501)).is_err());
    }
}
