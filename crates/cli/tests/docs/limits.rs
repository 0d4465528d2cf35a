//! `docs/limits.md`: the limits with a default in the libraries or the configuration are documented with it.

use std::time::Duration;

use ssekit_cli::config::Config;
use ssekit_hub::{fanout, http};
use ssekit_log::{IdempotencyKey, Record, Retention};
use ssekit_mercure::Selector;

use crate::blocks::page;

#[test]
fn the_table_has_the_defaults_of_the_program() {
    let (mercure, http, fanout) =
        (ssekit_mercure::Limits::default(), http::Options::default(), fanout::Options::default());
    let config = Config::default();
    let half = mercure.hub_variables as usize / 2;
    let rows = [
        ("topics of an update;", counts(&[mercure.topics, mercure.selectors, mercure.selector])),
        ("an update's id,", counts(&[mercure.id, mercure.event_type])),
        ("publications of a batch", counts(&[mercure.batch])),
        ("variables of a template;", counts(&[Selector::MAX_VARIABLES, mercure.variables])),
        ("cost of the templates", counts(&[mercure.hub_variables as usize, half])),
        ("cost of matching one update", counts(&[mercure.matching as usize])),
        ("a token; selectors of a claim", vec![size(mercure.token), count(mercure.claim_selectors)]),
        ("a request body; its time", vec![size(mercure.body), time(http.body_time)]),
        ("connections, HTTP/2 streams", counts(&[http.connections])),
        ("a request head; its lines", vec![size(http.head_size), time(http.head_time)]),
        ("a connection without a whole head", vec![time(http.head_time)]),
        ("the bodies of all requests", vec![size(http.body_memory)]),
        ("the window", vec![size(fanout.window)]),
        ("bytes that wait for all subscribers", vec![size(fanout.pending_memory)]),
        ("bytes that wait for one subscriber", vec![size(fanout.pending)]),
        ("a subscriber that takes nothing", vec![time(fanout.pace.stall)]),
        ("unacknowledged TCP data", vec![time(config.peer_timeout)]),
        ("one record, its topics", vec![size(Record::SIZE), count(Record::TOPICS), count(Record::BATCH)]),
        ("retention rules", counts(&[Retention::RULES])),
        (
            "idempotency keys,",
            vec!["24 h".to_owned(), count(IdempotencyKey::COUNT), count(IdempotencyKey::COUNT_PER_PUBLISHER)],
        ),
    ];
    assert_eq!(IdempotencyKey::LIFETIME, Duration::from_secs(24 * 60 * 60));
    let page = page("docs/limits.md");
    for (limited, values) in rows {
        let row = page.prose().into_iter().find(|row| cell(row, 1).starts_with(limited));
        let default = cell(row.unwrap_or_else(|| panic!("no row of {limited:?}")), 2);
        for value in values {
            assert!(default.contains(&value), "{limited:?}: {default:?} does not have {value}");
        }
    }
}

/// A cell of a row, counted from 0; empty if there is none.
fn cell(row: &str, number: usize) -> &str {
    row.trim_matches(['|', ' ']).split(" | ").nth(number).unwrap_or_default()
}

fn counts(counts: &[usize]) -> Vec<String> {
    counts.iter().copied().map(count).collect()
}

/// A number with commas between groups of three digits.
fn count(count: usize) -> String {
    let digits = count.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

fn time(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[test]
fn numbers_are_written_as_in_the_table() {
    assert_eq!(["5", "1,000", "4,194,304"].map(str::to_owned), [5, 1_000, 4_194_304].map(count));
    assert_eq!(
        (size(16 << 10), size(64 << 20), time(Duration::from_secs(30))),
        ("16 KiB".to_owned(), "64 MiB".to_owned(), "30 s".to_owned())
    );
}
