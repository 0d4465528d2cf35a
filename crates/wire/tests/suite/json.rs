//! JSON as data, and enums as events: encoded values are read again.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ssekit_wire::{Decoder, Event, Item};

/// Every form that a variant can have.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Empty,
    #[serde(rename = "wrapped text")]
    Text(String),
    Pair(u8, f32),
    PenStroke {
        #[serde(skip_serializing_if = "Option::is_none")]
        color: Option<String>,
        points: Vec<(i64, i64)>,
    },
    Nested(Inner),
    Maybe(Option<u64>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Inner {
    Unit,
    Other(bool),
}

/// A type around an enum is the enum.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Around(Shape);

fn encoded(event: &Event<'_>) -> String {
    let mut out = Vec::new();
    event.encode(&mut out);
    String::from_utf8(out).unwrap()
}

/// The first message of a stream as a value of this type.
fn read<T: DeserializeOwned>(stream: &str) -> Option<Result<T, serde_json::Error>> {
    let mut decoder = Decoder::new();
    match decoder.feed(stream.as_bytes()).next() {
        Some(Ok(Item::Message(message))) => message.typed(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check<T: Debug + PartialEq + Serialize + DeserializeOwned>(value: &T, wanted: &str) {
    let text = encoded(&Event::typed(value).unwrap());
    assert_eq!(text, wanted);
    assert_eq!(&read::<T>(&text).unwrap().unwrap(), value);
}

#[test]
fn a_variant_is_the_name_and_its_content_the_data() {
    check(&Shape::Empty, "event: empty\ndata: \n\n");
    check(&Shape::Text("a\n\"b\"".to_owned()), "event: wrapped text\ndata: \"a\\n\\\"b\\\"\"\n\n");
    check(&Shape::Pair(7, 0.1), "event: pair\ndata: [7,0.1]\n\n");
    let points = vec![(0, i64::MIN), (1, 2)];
    check(
        &Shape::PenStroke { color: None, points },
        "event: pen_stroke\ndata: {\"points\":[[0,-9223372036854775808],[1,2]]}\n\n",
    );
    let color = Some("red".to_owned());
    check(
        &Shape::PenStroke { color, points: Vec::new() },
        "event: pen_stroke\ndata: {\"color\":\"red\",\"points\":[]}\n\n",
    );
    check(&Shape::Nested(Inner::Unit), "event: nested\ndata: \"Unit\"\n\n");
    check(&Shape::Nested(Inner::Other(true)), "event: nested\ndata: {\"Other\":true}\n\n");
    check(&Shape::Maybe(None), "event: maybe\ndata: null\n\n");
    check(&Around(Shape::Maybe(Some(3))), "event: maybe\ndata: 3\n\n");
}

#[test]
fn a_value_that_is_no_enum_and_a_name_of_two_lines_are_errors() {
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { b: u8 },
    }
    #[derive(Serialize)]
    struct One {
        percent: u8,
    }
    #[derive(Serialize)]
    enum Broken {
        #[serde(rename = "a\nid: 1")]
        A,
    }
    let errors = [
        Event::typed(&Tagged::A { b: 1 }),
        Event::typed(&One { percent: 1 }),
        Event::typed("text"),
        Event::typed(&[1]),
        Event::typed(&None::<Shape>),
        Event::typed(&Broken::A),
    ];
    for (index, error) in errors.into_iter().enumerate() {
        assert!(error.is_err(), "value {index}: {error:?}");
    }
    assert!(read::<Tagged>("event: A\ndata: {\"b\":1}\n\n").is_some_and(|read| read.is_err()));
    assert!(read::<String>("event: A\ndata: \"text\"\n\n").is_some_and(|read| read.is_err()));
}

#[test]
fn other_names_are_left_out_and_wrong_data_is_an_error() {
    assert!(read::<Shape>("data: null\n\n").is_none(), "message is no variant");
    assert!(read::<Shape>("event: Empty\ndata:\n\n").is_none(), "names are those that serde gives");
    for wrong in [
        "pair\ndata: [7]",
        "pair\ndata: [7,1,2]",
        "pair\ndata: [7,1] x",
        "pen_stroke\ndata: []x",
        "maybe\ndata:",
    ] {
        assert!(read::<Shape>(&format!("event: {wrong}\n\n")).is_some_and(|read| read.is_err()), "{wrong}");
    }
    assert_eq!(read::<Shape>("event: empty\ndata: anything\n\n").unwrap().unwrap(), Shape::Empty);

    #[derive(Debug, PartialEq, Deserialize)]
    enum Open {
        Known(u8),
        #[serde(other)]
        Other,
    }
    assert_eq!(read::<Open>("event: Known\ndata: 1\n\n").unwrap().unwrap(), Open::Known(1));
    assert_eq!(read::<Open>("event: ping\ndata:\n\n").unwrap().unwrap(), Open::Other);
}

#[test]
fn json_is_one_line_and_numbers_are_ids() {
    let event = Event::json(&("a\nb", 1)).unwrap().with_event("x").unwrap().with_numeric_id(u64::MAX);
    assert_eq!(encoded(&event), "id: 18446744073709551615\nevent: x\ndata: [\"a\\nb\",1]\n\n");
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(Event::json(&map).is_err());
}
