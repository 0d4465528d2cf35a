//! The chat room's own rules: who is here, what may be said, and what is remembered. No sockets.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 32;
/// The longest message, in characters.
pub(crate) const MAX_TEXT: usize = 500;
/// How many messages a newcomer is told.
pub(crate) const MAX_HISTORY: usize = 50;

/// What somebody has said: the data of a `chat` event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Said {
    pub(crate) from: Name,
    pub(crate) text: Text,
    /// In milliseconds since 1970.
    pub(crate) at: u64,
}

/// A name that can be shown: 1 to 32 characters on one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Name(String);

/// A message that can be shown: 1 to 500 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Text(String);

/// Who is here, and who has just come or gone: the data of a `people` event.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct People {
    people: Vec<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Name>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Person {
    name: Name,
    /// Streams that are open under this name: one for each tab.
    streams: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    streams: BTreeMap<Name, usize>,
    /// The latest messages as JSON, each with the sequence number of its event.
    history: VecDeque<(u64, String)>,
}

impl Room {
    /// One more stream under this name.
    pub(crate) fn enter(&mut self, name: &Name) -> People {
        let streams = self.streams.entry(name.clone()).or_default();
        *streams += 1;
        let joined = (*streams == 1).then(|| name.clone());
        People { joined, ..self.people() }
    }

    /// One stream less under this name.
    pub(crate) fn leave(&mut self, name: &Name) -> People {
        let left = match self.streams.get_mut(name) {
            Some(streams) if *streams > 1 => {
                *streams -= 1;
                None
            }
            _ => self.streams.remove(name).map(|_| name.clone()),
        };
        People { left, ..self.people() }
    }

    pub(crate) fn people(&self) -> People {
        let people = self.streams.iter().map(|(name, &streams)| Person { name: name.clone(), streams });
        People { people: people.collect(), joined: None, left: None }
    }

    /// Keeps a message, and forgets the oldest one when there are enough.
    pub(crate) fn remember(&mut self, sequence: u64, said: String) {
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((sequence, said));
    }

    /// What was said after this event, oldest first.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &str)> {
        let news = self.history.iter().filter(move |(said, _)| *said > sequence);
        news.map(|(sequence, said)| (*sequence, said.as_str()))
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        shown("name", &name, MAX_NAME, |character| !character.is_control()).map(Self)
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        shown("message", &text, MAX_TEXT, |character| character == '\n' || !character.is_control()).map(Self)
    }
}

/// The text without space around it, when it is something to look at.
fn shown(what: &str, text: &str, most: usize, may_hold: fn(char) -> bool) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.chars().nth(most).is_some() {
        return Err(format!("the {what} is longer than {most} characters"));
    }
    if !text.chars().all(may_hold) {
        return Err(format!("the {what} holds a control character"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.to_owned().try_into().expect("a name")
    }

    fn json(people: &People) -> String {
        serde_json::to_string(people).expect("plain data")
    }

    #[test]
    fn a_name_joins_with_its_first_stream_and_leaves_with_its_last() {
        let mut room = Room::default();
        let ada = name("Ada");
        assert_eq!(json(&room.enter(&ada)), r#"{"people":[{"name":"Ada","streams":1}],"joined":"Ada"}"#);
        assert_eq!(json(&room.enter(&ada)), r#"{"people":[{"name":"Ada","streams":2}]}"#);
        assert_eq!(json(&room.leave(&ada)), r#"{"people":[{"name":"Ada","streams":1}]}"#);
        assert_eq!(json(&room.leave(&ada)), r#"{"people":[],"left":"Ada"}"#);
    }

    #[test]
    fn nobody_leaves_who_was_not_here() {
        let mut room = Room::default();
        assert_eq!(room.leave(&name("Ada")), Room::default().people());
    }

    #[test]
    fn the_latest_messages_are_remembered_and_told_from_a_given_event_on() {
        let mut room = Room::default();
        for sequence in 1..=60 {
            room.remember(sequence, format!("message {sequence}"));
        }
        assert_eq!(room.after(0).count(), MAX_HISTORY);
        assert_eq!(room.after(0).next(), Some((11, "message 11")));
        assert_eq!(room.after(58).collect::<Vec<_>>(), [(59, "message 59"), (60, "message 60")]);
    }

    #[test]
    fn names_and_messages_are_bounded_and_hold_nothing_unseen() {
        for (good, shown) in [(" Ada ", "Ada"), ("Zoë 👩‍🚀", "Zoë 👩‍🚀"), (&"x".repeat(32), &"x".repeat(32))]
        {
            assert_eq!(Name::try_from(good.to_owned()), Ok(Name(shown.to_owned())));
        }
        for (bad, why) in [
            ("", "the name is empty"),
            (" \t ", "the name is empty"),
            ("a\nb", "the name holds a control character"),
            ("a\u{1b}[2Jb", "the name holds a control character"),
            (&"é".repeat(33), "the name is longer than 32 characters"),
        ] {
            assert_eq!(Name::try_from(bad.to_owned()), Err(why.to_owned()));
        }
        assert!(Text::try_from("two\nlines".to_owned()).is_ok());
        assert!(Text::try_from("a\rb".to_owned()).is_err());
        assert!(Text::try_from("x".repeat(501)).is_err());
    }
}
