//! URI templates: a template matches its expansions, and nothing else.

use proptest::collection::vec;
use proptest::prelude::*;
use ssekit_mercure::{Kind, Selector};

use crate::expand::{OPERATORS, Part, Value, expand, parts, template};
use crate::reference;

/// The variables of RFC 6570, section 3.2.
fn of_the_standard(name: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let list = |items: &[&str]| Some(Value::List(items.iter().map(|item| (*item).to_owned()).collect()));
    match name {
        "count" => list(&["one", "two", "three"]),
        "dom" => list(&["example", "com"]),
        "dub" => text("me/too"),
        "hello" => text("Hello World!"),
        "half" => text("50%"),
        "var" => text("value"),
        "who" => text("fred"),
        "base" => text("http://example.com/home/"),
        "path" => text("/foo/bar"),
        "list" => list(&["red", "green", "blue"]),
        "keys" => Some(Value::Pairs(
            [("semi", ";"), ("dot", "."), ("comma", ",")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )),
        "v" => text("6"),
        "x" => text("1024"),
        "y" => text("768"),
        "empty" => text(""),
        "empty_keys" => Some(Value::Pairs(Vec::new())),
        _ => None,
    }
}

/// Examples of RFC 6570, sections 1.2 and 3.2: a template and its expansion.
const EXAMPLES: &[(&str, &str)] = &[
    ("{var}", "value"),
    ("{hello}", "Hello%20World%21"),
    ("{+var}", "value"),
    ("{+hello}", "Hello%20World!"),
    ("{+path}/here", "/foo/bar/here"),
    ("here?ref={+path}", "here?ref=/foo/bar"),
    ("X{#var}", "X#value"),
    ("X{#hello}", "X#Hello%20World!"),
    ("map?{x,y}", "map?1024,768"),
    ("{x,hello,y}", "1024,Hello%20World%21,768"),
    ("{+x,hello,y}", "1024,Hello%20World!,768"),
    ("{+path,x}/here", "/foo/bar,1024/here"),
    ("{#x,hello,y}", "#1024,Hello%20World!,768"),
    ("{#path,x}/here", "#/foo/bar,1024/here"),
    ("X{.var}", "X.value"),
    ("X{.x,y}", "X.1024.768"),
    ("{/var}", "/value"),
    ("{/var,x}/here", "/value/1024/here"),
    ("{;x,y}", ";x=1024;y=768"),
    ("{;x,y,empty}", ";x=1024;y=768;empty"),
    ("{?x,y}", "?x=1024&y=768"),
    ("{?x,y,empty}", "?x=1024&y=768&empty="),
    ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
    ("{&x,y,empty}", "&x=1024&y=768&empty="),
    ("{var:3}", "val"),
    ("{var:30}", "value"),
    ("{list}", "red,green,blue"),
    ("{list*}", "red,green,blue"),
    ("{keys}", "semi,%3B,dot,.,comma,%2C"),
    ("{keys*}", "semi=%3B,dot=.,comma=%2C"),
    ("{+path:6}/here", "/foo/b/here"),
    ("{+list*}", "red,green,blue"),
    ("{+keys}", "semi,;,dot,.,comma,,"),
    ("{+keys*}", "semi=;,dot=.,comma=,"),
    ("{#path:6}/here", "#/foo/b/here"),
    ("{#keys*}", "#semi=;,dot=.,comma=,"),
    ("X{.var:3}", "X.val"),
    ("X{.list}", "X.red,green,blue"),
    ("X{.list*}", "X.red.green.blue"),
    ("X{.keys*}", "X.semi=%3B.dot=..comma=%2C"),
    ("{/var:1,var}", "/v/value"),
    ("{/list}", "/red,green,blue"),
    ("{/list*}", "/red/green/blue"),
    ("{/list*,path:4}", "/red/green/blue/%2Ffoo"),
    ("{/keys*}", "/semi=%3B/dot=./comma=%2C"),
    ("{;hello:5}", ";hello=Hello"),
    ("{;list}", ";list=red,green,blue"),
    ("{;list*}", ";list=red;list=green;list=blue"),
    ("{;keys}", ";keys=semi,%3B,dot,.,comma,%2C"),
    ("{;keys*}", ";semi=%3B;dot=.;comma=%2C"),
    ("{?var:3}", "?var=val"),
    ("{?list*}", "?list=red&list=green&list=blue"),
    ("{?keys}", "?keys=semi,%3B,dot,.,comma,%2C"),
    ("{?keys*}", "?semi=%3B&dot=.&comma=%2C"),
    ("{&var:3}", "&var=val"),
    ("{half}", "50%25"),
    ("{+half}", "50%25"),
    ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
    ("{+base}index", "http://example.com/home/index"),
    ("O{empty}X", "OX"),
    ("O{undef}X", "OX"),
    ("O{+undef}X", "OX"),
    ("X{#undef}", "X"),
    ("X{#empty}", "X#"),
    ("X{.empty_keys*}", "X"),
    ("X{.empty}", "X."),
    ("www{.dom*}", "www.example.com"),
    ("{/who,who,dub}", "/fred/fred/me%2Ftoo"),
    ("{;v,empty,who}", ";v=6;empty;who=fred"),
    ("{;v,bar,who}", ";v=6;who=fred"),
    ("{?undef,y}", "?y=768"),
    ("/caf\u{e9}/{x}", "/caf%C3%A9/1024"),
];

#[test]
fn a_template_matches_the_expansions_that_the_standard_shows() {
    for (template, expansion) in EXAMPLES {
        assert_eq!(expand(&parts(template), of_the_standard), *expansion, "the expander, of {template}");
        let selector = Selector::parse(template).unwrap();
        assert_eq!(selector.kind(), Kind::Template, "{template}");
        assert!(selector.matches(expansion), "{template} is to match {expansion}");
    }
}

#[test]
fn a_template_matches_nothing_that_no_value_gives() {
    let cases: &[(&str, &[&str])] = &[
        (
            "/books/{id}",
            &[
                "/books/a/b",
                "/books",
                "/Books/1",
                "/books/a b",
                "/books/a?b",
                "x/books/1",
                "/books/%4",
                "/books/\u{e9}",
            ],
        ),
        ("/books/{+path}.json", &["/books/1", "/books/.jsonx", "/book/1.json"]),
        ("/{x,y}", &["/1/2", "/1;2"]),
        ("{/x}", &["/a/b", "a", "//"]),
        ("{/x,y}", &["/a/b/c"]),
        ("X{.x:2}", &["X.abc", "X.a/", "Xab"]),
        ("{?x,y}", &["?z=1", "?y=1&x=1", "?x", "&x=1", "?x=1&x=2&y=3"]),
        ("{;x}", &[";y=1", "x=1", ";x=1;x=2"]),
        ("{#x}", &["x", "##\u{e9}"]),
        ("{x:3}", &["abcd", "%C3%A9%C3%A9%C3%A9%C3%A9", "a,b"]),
        ("a{x}b{y}c", &["abx", "ac", "ab/c"]),
    ];
    for (template, topics) in cases {
        let selector = Selector::parse(template).unwrap();
        assert_eq!(selector.kind(), Kind::Template, "{template}");
        for topic in *topics {
            assert!(!selector.matches(topic), "{template} is not to match {topic}");
        }
    }
}

#[test]
fn a_text_without_valid_expressions_is_a_topic() {
    let texts = [
        "a{",
        "a}",
        "{}",
        "{+}",
        "{a",
        "{a}}",
        "{a b}",
        "{a:0}",
        "{a:10000}",
        "{a:}",
        "{a**}",
        "{a*:3}",
        "{=a}",
        "{!a}",
        "{a,}",
        "{a..b}",
        "{.}",
        "{a.}",
        "{%4}",
        "a b{c}",
        "a<{c}",
        "%{c}",
        "%4g{c}",
        "{{a}}",
        "{\"json\": 1}",
        "no braces",
    ];
    for text in texts {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.kind(), Kind::Exact, "{text}");
        assert!(selector.matches(text), "{text}");
        assert!(!selector.matches("ac"), "{text}");
    }
}

#[test]
fn a_bound_of_variables_holds() {
    let template = |count| "{a}".repeat(count);
    assert!(Selector::parse(&template(Selector::MAX_VARIABLES)).is_ok());
    let error = Selector::parse(&template(Selector::MAX_VARIABLES + 1)).unwrap_err().to_string();
    assert_eq!(error, "the template has 33 variables; the limit is 32");
}

/// Backtracking would try this pattern in more ways than there are atoms; matching ends at once, or the test
/// never would.
#[test]
fn line_34_matching_needs_linear_time() {
    let selector = Selector::parse(&format!("{}!", "{a}{+b}".repeat(Selector::MAX_VARIABLES / 2))).unwrap();
    let topic = "a".repeat(4096);
    assert!(!selector.matches(&topic));
    assert!(selector.matches(&format!("{topic}!")));
    let few = Selector::parse(&format!("{}!", "{a:9999}".repeat(Selector::MAX_VARIABLES))).unwrap();
    assert!(!few.matches(&topic));
    assert!(few.matches(&format!("{topic}!")));
}

fn a_part() -> impl Strategy<Value = Part> {
    let modifier = prop_oneof![
        Just(String::new()),
        Just("*".to_owned()),
        prop_oneof![4 => 1..20_u16, 1 => 20..200_u16, 1 => Just(9999)]
            .prop_map(|length| format!(":{length}"))
    ];
    let name = prop_oneof![Just("a"), Just("b.c"), Just("%41_")].prop_map(str::to_owned);
    prop_oneof![
        "[a-z/.,;=?&#é]{0,6}".prop_map(Part::Literal),
        (proptest::sample::select(&OPERATORS[..]), vec((name, modifier), 1..4))
            .prop_map(|(operator, variables)| Part::Expression(operator, variables)),
    ]
}

fn a_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,5}", "\\PC{0,6}", "[%0-9A-F/,.;=&?#]{0,9}"]
}

/// A topic of pieces that matter to templates, long enough to take several words of offsets.
fn a_topic() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "b.c", "%41_", "a=", "b.c=", "%41", "%C3%A9", "%c3", "%", "%4", "é", "/", ".", ",", ";", "?",
        "&", "=", "#", "!", " ",
    ];
    let piece = (proptest::sample::select(pieces.to_vec()), prop_oneof![4 => 1..4_usize, 1 => 4..90_usize]);
    vec(piece, 0..8).prop_map(|pieces| pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect())
}

fn a_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        a_text().prop_map(|text| Some(Value::Text(text))),
        vec(a_text(), 0..4).prop_map(|items| Some(Value::List(items))),
        vec((a_text(), a_text()), 0..4).prop_map(|items| Some(Value::Pairs(items))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_a_template_expands_to_it_matches(parts in vec(a_part(), 1..5), values in vec(a_value(), 3)) {
        let text = template(&parts);
        prop_assume!(parts.iter().any(|part| matches!(part, Part::Expression(..))));
        let selector = Selector::parse(&text).unwrap();
        let expansion = expand(&parts, |name| values[["a", "b.c", "%41_"].iter().position(|known| *known == name).unwrap()].clone());
        prop_assert!(selector.matches(&expansion), "{text} is to match {expansion}");
        prop_assert!(selector.matches(&text));
        prop_assert!(expansion.starts_with(selector.literal_prefix()) && text.starts_with(selector.literal_prefix()));
    }

    #[test]
    fn a_template_matches_the_same_topics_as_the_naive_reference(
        parts in vec(a_part(), 1..6),
        values in vec(a_value(), 3),
        topic in a_topic(),
        at in any::<proptest::sample::Index>(),
    ) {
        let text = template(&parts);
        let Ok(selector) = Selector::parse(&text) else { return Ok(()) };
        prop_assume!(selector.kind() == Kind::Template);
        let expansion = expand(&parts, |name| values[["a", "b.c", "%41_"].iter().position(|known| *known == name).unwrap()].clone());
        let cut = (0..=expansion.len()).rev().find(|end| *end <= at.index(expansion.len() + 1) && expansion.is_char_boundary(*end)).unwrap();
        let (before, after) = expansion.split_at(cut);
        for topic in [&topic, &format!("{before}{topic}{after}"), &format!("{topic}{after}"), &format!("{before}{topic}")] {
            let expected = *topic == text || reference::matches(&parts, topic);
            prop_assert_eq!(selector.matches(topic), expected, "{} on {}", text, topic);
        }
    }

    #[test]
    fn any_text_is_read_and_matched_without_a_panic(text in "[a-z{}%:*,+#./;?&é\\PC]{0,30}", topic in "\\PC{0,30}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert!(selector.matches(&text));
            if selector.matches(&topic) {
                prop_assert!(topic.starts_with(selector.literal_prefix()));
            }
        }
    }
}
