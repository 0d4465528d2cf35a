//! The ids of the hub.

use proptest::prelude::*;
use ssekit_log::{Epoch, Position};
use ssekit_mercure::Ids;

#[test]
fn line_86_an_id_is_a_uri() {
    let id = Ids::new(Epoch([1; 16])).id(Position(1));
    let url = url::Url::parse(&id).unwrap();
    assert_eq!(url.scheme(), "urn");
    assert!(url.path().starts_with("ssekit:") && id.len() == 33, "{id}");
}

/// The ids come from Python's `cryptography`: clients keep ids for longer than a program runs.
#[test]
fn an_id_keeps_its_meaning() {
    let ids = Ids::new(Epoch(*b"0123456789abcdef"));
    let id = ids.id(Position(0x0102_0304));
    assert_eq!(id, "urn:ssekit:Jx78NLmrV5T9VKZThY0LAA");
    let mut line = Vec::new();
    ids.line(Position(0x0102_0304), &mut line);
    assert_eq!(line, format!("id: {id}\n").as_bytes());
}

#[test]
fn line_94_ids_reveal_neither_order_nor_number() {
    let ids = Ids::new(Epoch([7; 16]));
    let made: Vec<String> = (0..1000).map(|position| ids.id(Position(position))).collect();
    let rising = made.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((400..600).contains(&rising), "{rising} of 999 rise");
    // No two ids have a long common beginning.
    let mut sorted = made.clone();
    sorted.sort();
    let alike = |pair: &[String]| {
        pair[0].bytes().zip(pair[1].bytes()).take_while(|(one, other)| one == other).count()
    };
    assert!(sorted.windows(2).map(alike).max() < Some("urn:ssekit:".len() + 8));
}

proptest! {
    #[test]
    fn an_id_is_found_by_its_own_log_alone(epoch: [u8; 16], other: [u8; 16], position: u64) {
        let ids = Ids::new(Epoch(epoch));
        let id = ids.id(Position(position));
        prop_assert_eq!(ids.position(&id), Some(Position(position)));
        if epoch != other {
            prop_assert_eq!(Ids::new(Epoch(other)).position(&id), None);
        }
    }

    #[test]
    fn other_texts_are_no_ids(text in "(urn:ssekit:)?[A-Za-z0-9_=-]{0,24}|\\PC{0,40}") {
        prop_assert_eq!(Ids::new(Epoch([1; 16])).position(&text), None);
    }
}
