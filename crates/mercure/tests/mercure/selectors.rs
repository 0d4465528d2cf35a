//! Selectors: the topics that they select, and the updates that a subscriber may read.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ssekit_mercure::{Kind, Selector, Token, may_read};

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn topics(topics: &[&str]) -> Vec<Box<str>> {
    topics.iter().map(|topic| Box::from(*topic)).collect()
}

fn token(subscribe: Option<&[&str]>) -> Token {
    let mut token = Token::default();
    token.subscribe = subscribe.map(|texts| texts.iter().map(|text| selector(text)).collect());
    token
}

#[test]
fn line_28_the_star_selects_everything_and_is_no_pattern() {
    for topic in ["a", "*", "https://example.com/{id}", "é"] {
        assert!(selector("*").matches(topic));
        assert!(Selector::exact("*").unwrap().matches(topic));
    }
    assert_eq!(selector("*").kind(), Kind::Any);
    assert!(!selector("**").matches("a"));
    assert!(!selector("a*").matches("ab"));
}

#[test]
fn line_25_exact_selectors_differ_from_templates() {
    let text = "https://example.com/{id}";
    let (exact, template) = (Selector::exact(text).unwrap(), selector(text));
    assert_eq!((exact.kind(), template.kind()), (Kind::Exact, Kind::Template));
    assert!(exact.matches(text) && !exact.matches("https://example.com/1"));
    assert!(template.matches(text) && template.matches("https://example.com/1"));
    assert_ne!(exact, template);
}

#[test]
fn line_29_an_exact_selector_compares_bytes() {
    let cases = [
        ("https://example.com/a", "https://example.com/a/"),
        ("https://example.com/a", "https://EXAMPLE.com/a"),
        ("https://example.com/a", "https://example.com:443/a"),
        ("https://example.com/%61", "https://example.com/a"),
        ("https://example.com/b/../a", "https://example.com/a"),
        // One character, composed and decomposed.
        ("caf\u{e9}", "cafe\u{301}"),
        ("/a", "https://example.com/a"),
    ];
    for (one, other) in cases {
        assert!(selector(one).matches(one) && selector(other).matches(other));
        assert!(!selector(one).matches(other), "{one} is not to match {other}");
        assert!(!selector(other).matches(one), "{other} is not to match {one}");
    }
}

#[test]
fn equal_selectors_are_one_in_a_set() {
    let set: HashSet<Selector> = ["a", "a", "*", "{a}", "{a}"].into_iter().map(selector).collect();
    assert_eq!(set.len(), 3);
}

/// The index of the fan-out relies on this.
#[test]
fn every_match_begins_with_the_literal_prefix() {
    let cases = [
        ("*", ""),
        ("https://a/1", "https://a/1"),
        ("https://a/{x}/b", "https://a/"),
        ("{x}b", ""),
        ("/caf\u{e9}/{x}", "/caf"),
    ];
    for (text, prefix) in cases {
        assert_eq!(selector(text).literal_prefix(), prefix, "{text}");
    }
}

#[test]
fn line_18_a_private_update_needs_a_grant() {
    let update = topics(&["https://example.com/1", "https://example.com/users/ada/1"]);
    let cases: &[(Option<Option<&[&str]>>, bool)] = &[
        (None, false),
        (Some(None), false),
        (Some(Some(&[])), false),
        (Some(Some(&["https://example.com/2"])), false),
        (Some(Some(&["https://example.com/users/{user}"])), false),
        (Some(Some(&["https://example.com/1"])), true),
        (Some(Some(&["https://example.com/2", "https://example.com/users/{user}/{id}"])), true),
        (Some(Some(&["*"])), true),
    ];
    for (subscribe, may) in cases {
        let token = subscribe.map(token);
        assert_eq!(may_read(token.as_ref(), &update, true), *may, "{subscribe:?}");
        assert!(may_read(token.as_ref(), &update, false), "what is public is for all: {subscribe:?}");
    }
}

#[test]
fn line_80_one_granted_topic_is_enough_and_publishing_grants_no_reading() {
    let mut publisher = Token::default();
    publisher.publish = Some(Arc::new([selector("*")]));
    assert!(!may_read(Some(&publisher), &topics(&["a"]), true));
    // The canonical topic or an alternate one.
    assert!(may_read(Some(&token(Some(&["b"]))), &topics(&["a", "b"]), true));
    assert!(may_read(Some(&token(Some(&["a"]))), &topics(&["a", "b"]), true));
}

proptest! {
    /// The rule over random grants and updates: a private update needs a selector of the token for one of its
    /// topics.
    #[test]
    fn line_2_private_updates_need_a_grant_of_one_of_their_topics(
        granted in option::of(vec("[ab]/([ab]|\\{x\\})|\\*", 0..3)),
        update in vec("[ab]/[ab]", 1..3),
        private: bool,
    ) {
        let grants = |granted: &str, topic: &str| match granted {
            "*" => true,
            _ => granted == topic || granted.ends_with("{x}") && topic[..2] == granted[..2],
        };
        let wanted = !private || granted.iter().flatten().any(|one| update.iter().any(|topic| grants(one, topic)));
        let mut token = Token::default();
        token.subscribe = granted.as_ref().map(|texts| texts.iter().map(|text| selector(text)).collect());
        let update: Vec<Box<str>> = update.into_iter().map(String::into_boxed_str).collect();
        prop_assert_eq!(may_read(Some(&token), &update, private), wanted);
        prop_assert_eq!(may_read(None, &update, private), !private);
    }
}
