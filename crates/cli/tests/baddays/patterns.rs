//! Templates that are expensive to match.

use std::time::{Duration, Instant};

use ssekit_mercure::Selector;

use crate::hub::{Hub, PATH, scaled};
use crate::stream::Stream;

/// Templates, and topics of any length, for which a backtracking matcher would need very many steps.
type Bomb = (String, fn(usize) -> String);

fn bombs() -> [Bomb; 5] {
    let names = || (b'a'..=b'z').map(char::from).chain(['A', 'B', 'C', 'D', 'E', 'F']);
    let each = |around: fn(char) -> String| names().map(around).collect::<String>();
    [
        (each(|name| format!("{{{name}}}x")), |length| format!("{}y", "x".repeat(length))),
        (each(|name| format!("{{+{name}}}")), |length| format!("{} ", "a/".repeat(length / 2))),
        (each(|name| format!("{{{name}*}}")), |length| format!("{}!", ",=".repeat(length / 2))),
        (each(|name| format!("{{{name}:9999}}")), |length| format!("{}%", "%41".repeat(length / 3))),
        (each(|name| format!("{{?{name}*}}")), |length| format!("{}!", "?a=1&b".repeat(length / 6))),
    ]
}

#[test]
fn time_grows_as_the_topic_does_and_not_faster() {
    for (template, topic) in bombs() {
        let selector = Selector::parse(&template).expect("32 variables are taken");
        let time = |length: usize| {
            let topic = topic(length);
            let begun = Instant::now();
            for _ in 0..3 {
                assert!(!std::hint::black_box(&selector).matches(std::hint::black_box(&topic)), "{template}");
            }
            begun.elapsed()
        };
        // The smallest of several measurements, because others were interrupted. On a busy machine this takes
        // several attempts.
        let (mut quarter, mut whole) = (Duration::MAX, Duration::MAX);
        let mut rounds = 0;
        let ratio = loop {
            (quarter, whole) = (quarter.min(time(4_096)), whole.min(time(16_384)));
            rounds += 1;
            let ratio = whole.as_secs_f64() / quarter.as_secs_f64();
            if rounds >= 5 && ratio < 8.0 || rounds == 100 {
                break ratio;
            }
        };
        println!("{ratio:.2} times the time for 4 times the topic: {template}");
        // 16 if it were quadratic.
        assert!(ratio < 8.0, "{quarter:?}, then {whole:?}: {template}");
    }
}

#[test]
fn more_variables_than_can_be_matched_in_time_are_refused() {
    let hub = Hub::start(&[]);
    let variables: Vec<_> = (0..33).map(|number| format!("%7Bv{number}%7D")).collect();
    let answer = hub.get(&format!("{PATH}?topic={}", variables.concat()));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("33 variables"), "{answer:?}");
    let many: Vec<_> = (0..101).map(|number| format!("topic={number}")).collect();
    assert_eq!(hub.get(&format!("{PATH}?{}", many.join("&"))).status, 400);
    let long = format!("{PATH}?topic={}", "x".repeat(4097));
    let answer = hub.get(&long);
    assert_eq!(answer.status, 400, "{answer:?}");
    hub.expect_figure("ssekit_requests_refused_total{problem=\"invalid-selector\"}", |count| count == 3);
}

#[test]
fn subscribers_with_such_templates_delay_others_little() {
    let hub = Hub::start(&[]);
    // The maximum number of variables.
    let selectors = |number: usize, count: usize| {
        let selectors: Vec<_> = (0..count)
            .map(|selector| {
                format!("topic=%7Ba{number}%7Dx%7Bb{selector}%7Dx%7Bc%7Dx%7Bd%7Dx%7Be%7Dx%7Bf%7D")
            })
            .collect();
        selectors.join("&")
    };
    let refused = hub.get(&format!("{PATH}?{}", selectors(0, 43)));
    assert!(refused.status == 400 && refused.body.contains("256 variables"), "{refused:?}");
    let _bombs: Vec<_> =
        (0..scaled(40, 400)).map(|number| Stream::open(&hub, &selectors(number, 42))).collect();
    let mut good = Stream::open(&hub, "topic=good");
    let long = "x".repeat(4000);
    let begun = Instant::now();
    for number in 0..20 {
        let number = number.to_string();
        let answer = hub.post(&format!("topic=good&topic={long}y!&data={number}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(good.next().data, number);
    }
    // 1,680 templates of 6 variables on 4,000 bytes each: tried at each offset, that takes minutes without
    // optimization.
    println!("20 updates past 1,680 such templates: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
