//! Output of events.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Serialize;

use crate::terminal::{escape, escape_json};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The fields of the event, as in the stream, with control characters escaped
    #[default]
    Text,
    /// One JSON object per line: {"event", "data", "id"}; the id is the last event ID, as in a browser
    Json,
    /// The unchanged data and a line feed
    Raw,
}

/// Formatter of events.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    colors: bool,
    /// Last event ID before this event: an event that does not change it has brought none.
    last_event_id: String,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'a str,
    data: &'a str,
    id: &'a str,
}

impl Output {
    pub(crate) fn new(format: Format, colors: bool) -> Self {
        Self { format, colors, last_event_id: String::new() }
    }

    /// Formats the event.
    pub(crate) fn event(&mut self, event: &str, data: &str, last_event_id: &str) -> String {
        match self.format {
            Format::Raw => format!("{data}\n"),
            Format::Json => json(&Line { event, data, id: last_event_id }),
            Format::Text => self.text(event, data, last_event_id),
        }
    }

    /// Notes an event that is not written.
    pub(crate) fn skip(&mut self, last_event_id: &str) {
        if self.last_event_id != last_event_id {
            last_event_id.clone_into(&mut self.last_event_id);
        }
    }

    fn text(&mut self, event: &str, data: &str, last_event_id: &str) -> String {
        let mut text = String::with_capacity(data.len() + 64);
        if self.last_event_id != last_event_id {
            self.line(&mut text, YELLOW, "id", last_event_id);
        }
        self.skip(last_event_id);
        self.line(&mut text, BLUE, "event", event);
        for line in data.split('\n') {
            self.line(&mut text, GREEN, "data", line);
        }
        text.push('\n');
        text
    }

    fn line(&self, text: &mut String, color: &str, field: &str, value: &str) {
        let value = escape(value);
        if self.colors {
            let _ = writeln!(text, "{color}{field}:{PLAIN} {value}");
        } else {
            let _ = writeln!(text, "{field}: {value}");
        }
    }
}

/// Line of JSON.
fn json(line: &Line<'_>) -> String {
    escape_json(&serde_json::to_string(line).expect("three strings")) + "\n"
}

const YELLOW: &str = "\u{1b}[33m";
const BLUE: &str = "\u{1b}[34m";
const GREEN: &str = "\u{1b}[32m";
const PLAIN: &str = "\u{1b}[0m";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::is_interpreted;

    #[test]
    fn text_shows_the_events_own_lines() {
        let mut output = Output::new(Format::Text, false);
        assert_eq!(output.event("stats", "a\nb", "1"), "id: 1\nevent: stats\ndata: a\ndata: b\n\n");
        // An event without an id has the last event ID of the one before.
        assert_eq!(output.event("ping", "", "1"), "event: ping\ndata: \n\n");
        output.skip("2");
        assert_eq!(output.event("ping", "", "2"), "event: ping\ndata: \n\n");
        assert_eq!(output.event("reset", "x", ""), "id: \nevent: reset\ndata: x\n\n");
    }

    #[test]
    fn colours_are_around_the_fields_names_alone() {
        let mut output = Output::new(Format::Text, true);
        assert_eq!(output.event("e", "d", ""), "\u{1b}[34mevent:\u{1b}[0m e\n\u{1b}[32mdata:\u{1b}[0m d\n\n");
    }

    #[test]
    fn no_control_character_of_the_stream_reaches_a_terminal_in_text_or_json() {
        let evil = "\u{1b}[2J\u{9b}2J\u{7f}\u{8}\u{202e}\u{0}";
        let safe = r"\u{1b}[2J\u{9b}2J\u{7f}\u{8}\u{202e}\u{0}";
        let mut output = Output::new(Format::Text, false);
        assert_eq!(output.event(evil, evil, evil), format!("id: {safe}\nevent: {safe}\ndata: {safe}\n\n"));

        let line = Output::new(Format::Json, false).event(evil, evil, evil);
        assert!(line.trim_end_matches('\n').chars().all(|character| !is_interpreted(character)), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(read, serde_json::json!({ "event": evil, "data": evil, "id": evil }));
    }

    #[test]
    fn raw_is_the_data_and_nothing_else() {
        assert_eq!(Output::new(Format::Raw, true).event("e", "a\n\u{1b}b", "1"), "a\n\u{1b}b\n");
    }
}
