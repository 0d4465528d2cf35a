//! The corpora: six kinds of traffic.

use std::fmt::Write as _;

/// An event as it is given to an encoder.
#[derive(Debug, Default)]
pub struct Fields {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: String,
}

/// Traffic of one kind.
#[derive(Debug)]
pub struct Corpus {
    pub name: &'static str,
    pub events: &'static [Fields],
    pub stream: &'static [u8],
}

/// The result that a decoder must deliver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    pub events: usize,
    pub data_bytes: usize,
}

/// How a stream is cut, in bytes.
pub const PIECES: [usize; 3] = [64 << 10, 1460, 16];

impl Corpus {
    pub fn pieces(&self, size: usize) -> Vec<&'static [u8]> {
        self.stream.chunks(size).collect()
    }

    pub fn wanted(&self) -> Delivered {
        let data_bytes = self.events.iter().map(|event| event.data.len()).sum();
        Delivered { events: self.events.len(), data_bytes }
    }

    fn of_events(name: &'static str, event: impl Fn(usize) -> Fields) -> Self {
        let mut stream = String::new();
        let mut events = Vec::new();
        while stream.len() < SIZE {
            let fields = event(events.len());
            if let Some(id) = &fields.id {
                writeln!(stream, "id: {id}").unwrap();
            }
            if let Some(event) = &fields.event {
                writeln!(stream, "event: {event}").unwrap();
            }
            for line in fields.data.split('\n') {
                writeln!(stream, "data: {line}").unwrap();
            }
            stream.push('\n');
            events.push(fields);
        }
        Self { name, events: events.leak(), stream: stream.into_bytes().leak() }
    }
}

/// The corpora of the tables.
pub fn all() -> Vec<Corpus> {
    vec![
        Corpus::of_events("LLM tokens, 250 B", |number| Fields { data: token(number), ..Fields::default() }),
        Corpus::of_events("named hub events, 60-120 B", named),
        Corpus::of_events("9-byte events", |_| Fields { data: "x".to_owned(), ..Fields::default() }),
        Corpus::of_events("40 KiB events", |number| Fields { data: large(number), ..Fields::default() }),
        Corpus::of_events("20-line events", |number| Fields { data: lines(number), ..Fields::default() }),
        Corpus { name: "keep-alives", events: &[], stream: b":\n\n".repeat(SIZE / 3).leak() },
    ]
}

/// One event of one line of 8 MiB.
pub fn one_line() -> Corpus {
    let data = "x".repeat(8 << 20);
    let stream = format!("data: {data}\n\n").into_bytes().leak();
    Corpus { name: "8 MiB line", events: vec![Fields { data, ..Fields::default() }].leak(), stream }
}

/// The size of a stream: it fits the second cache, as bytes that a socket has just given do.
const SIZE: usize = 1 << 20;

fn token(number: usize) -> String {
    const WORDS: [&str; 16] = [
        " the", " of", "ing", " a", ",", " model", " and", " stream", ".", " is", "\\n", " café", " “", "ed",
        " in", " —",
    ];
    let word = WORDS[number * 7 % WORDS.len()];
    format!(
        r#"{{"id":"chatcmpl-BxR3Yk9uVt2LmQ7nWs5Zp1cE","object":"chat.completion.chunk","created":1763800000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_07871e2ad8","choices":[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]}}"#
    )
}

fn named(number: usize) -> Fields {
    const NAMES: [&str; 4] = ["price", "presence", "message", "update"];
    Fields {
        id: Some(format!("01jd9c-{number}")),
        event: Some(NAMES[number % NAMES.len()].to_owned()),
        data: format!(r#"{{"n":{number},"text":"{}"}}"#, "abcdefgh ".repeat(number % 6)),
    }
}

fn large(number: usize) -> String {
    let mut data = format!(r#"{{"number":{number},"text":""#);
    while data.len() < 40 * 1024 - 10 {
        data.push_str("Lorem ipsum dolor sit amet, consectetur adipiscing elit. ");
    }
    data.truncate(40 * 1024 - 10);
    data + "\"}"
}

fn lines(number: usize) -> String {
    let line = |line| format!("{number:06} line {line:02}: the quick brown fox jumps over the lazy dog");
    (0..20).map(line).collect::<Vec<_>>().join("\n")
}
