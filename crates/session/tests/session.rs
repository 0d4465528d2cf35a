//! The state machine by itself: inputs and times go in, outputs come out.

use std::time::Duration;

use ssekit_session::{
    AfterEnd, Answer, CloseReason, Config, DecodeError, Failure, Item, MethodClass, Output, Reconnect,
    Session,
};

/// An input of a session.
#[derive(Clone, Copy)]
enum Input {
    Start,
    /// After a close, with the server's `Retry-After` in seconds.
    StartLater(Option<u64>),
    Restart,
    Close,
    /// This many milliseconds pass.
    Pass(u64),
    /// The page will stand still.
    Frozen,
    /// This many milliseconds have passed while everything stood still.
    Thawed(u64),
    Answered(u16, &'static str),
    /// 503, with its `Retry-After` in seconds.
    Busy(u64),
    Compressed,
    Bytes(&'static str),
    Ended,
    Failed,
    Unsendable,
    Hidden(bool),
    Offline(bool),
    /// The page became visible, after the machine slept for these seconds unseen by the clock.
    Woken(u64),
}

use Input::{
    Answered, Busy, Bytes, Close, Compressed, Ended, Failed, Frozen, Hidden, Offline, Pass, Restart, Start,
    StartLater, Thawed, Unsendable, Woken,
};

const STREAM: Input = Answered(200, "text/event-stream");

type Step = (Input, &'static [&'static str]);

/// Each step, and all that the session gives and wants done after it.
fn check(name: &str, config: Config, steps: &[Step]) {
    let config = Config {
        reconnect: config.reconnect.without_jitter(),
        read_timeout: config.read_timeout.or(Some(Duration::from_secs(10))),
        comments: true,
        max_event_bytes: 1000,
        ..config
    };
    let mut session = Session::<&str>::new(config, 0);
    let mut now = Duration::from_secs(1_000);
    for (number, &(input, expected)) in steps.iter().enumerate() {
        let mut seen = Vec::new();
        match input {
            Start => session.start(now),
            StartLater(retry_after) => session.start_later(retry_after.map(Duration::from_secs), now),
            Restart => session.restart(now),
            Close => session.close(CloseReason::Local),
            Pass(millis) => {
                now += Duration::from_millis(millis);
                session.tick(now);
            }
            Frozen => session.frozen(now),
            Thawed(millis) => {
                now += Duration::from_millis(millis);
                session.thawed(now);
                session.tick(now);
            }
            Answered(status, content_type) => {
                let answer = Answer { status, content_type: Some(content_type), ..Answer::default() };
                session.answered(&answer, now);
            }
            Busy(seconds) => {
                let retry_after = Some(Duration::from_secs(seconds));
                session.answered(&Answer { status: 503, retry_after, ..Answer::default() }, now);
            }
            Compressed => {
                let content_type = Some("text/event-stream");
                let content_encoding = Some("br");
                session.answered(
                    &Answer { status: 200, content_type, content_encoding, ..Answer::default() },
                    now,
                );
            }
            Bytes(bytes) => session.bytes(bytes.as_bytes(), now, |item| seen.push(read(item))),
            Ended => session.ended(now, |item| seen.push(read(item))),
            Failed => session.failed("reset", now),
            Unsendable => session.unsendable("no such header"),
            Hidden(hidden) => session.hidden(hidden, now),
            Offline(offline) => session.offline(offline, now),
            Woken(slept) => session.woken(Duration::from_secs(slept), now),
        }
        while let Some(output) = session.next_output() {
            seen.push(describe(&output, session.last_event_id(), now));
        }
        assert_eq!(seen, expected, "{name}, step {number}");
    }
}

fn read(item: Result<Item<'_>, DecodeError>) -> String {
    match item {
        Ok(Item::Message(it)) => format!("{}: {} ({})", it.event, it.data, it.last_event_id),
        Ok(Item::Comment(text)) => format!("comment {text}"),
        Err(error) => format!("{error:?}"),
    }
}

fn describe(output: &Output<&str>, last_event_id: &str, now: Duration) -> String {
    match output {
        Output::Connect { first } => {
            let first = if *first { " first" } else { "" };
            let after =
                if last_event_id.is_empty() { String::new() } else { format!(" after {last_event_id}") };
            format!("connect{first}{after}")
        }
        Output::Disconnect => "disconnect".to_owned(),
        Output::Opened => "opened".to_owned(),
        Output::Waiting { until, failure: None } => format!("wait {} ms", (*until - now).as_millis()),
        Output::Waiting { until, failure: Some(failure) } => {
            format!("wait {} ms: {}", (*until - now).as_millis(), describe_failure(failure))
        }
        Output::Paused { failure: None } => "paused".to_owned(),
        Output::Paused { failure: Some(failure) } => format!("paused: {}", describe_failure(failure)),
        Output::Closed(CloseReason::Failed(failure)) => format!("failed: {}", describe_failure(failure)),
        Output::Closed(CloseReason::NotRepeated(failure)) => {
            format!("not repeated: {}", describe_failure(failure))
        }
        Output::Closed(CloseReason::GaveUp { retries, failure }) => {
            format!("gave up after {retries}: {}", describe_failure(failure))
        }
        Output::Closed(reason) => format!("closed: {reason:?}"),
        other => format!("{other:?}"),
    }
}

fn describe_failure(failure: &Failure<&str>) -> String {
    match failure {
        Failure::Status { status, body, .. } => format!("{status} {}", String::from_utf8_lossy(body)),
        Failure::ContentType { body } => format!("type {}", String::from_utf8_lossy(body)),
        other => format!("{other:?}"),
    }
}

fn by(reconnect: Reconnect) -> Config {
    Config { reconnect, ..Config::default() }
}

const START: Step = (Start, &["connect first"]);
const OPEN: Step = (STREAM, &["opened"]);

#[test]
fn a_session_follows_the_standard() {
    check(
        "an event and an end (74, 76, 77, 89)",
        by(Reconnect::resilient()),
        &[
            START,
            OPEN,
            (Bytes("id: 1\ndata: x\n"), &[]),
            (Bytes("\n:c\n"), &["message: x (1)", "comment c"]),
            (Ended, &["disconnect", "wait 1000 ms: Ended"]),
            (Pass(999), &[]),
            (Pass(1), &["connect after 1"]),
            OPEN,
            (Close, &["disconnect", "closed: Local"]),
            (Bytes("data: y\n\n"), &[]),
            (Pass(1_000_000), &[]),
        ],
    );
    check(
        "refused connections (75, 85)",
        by(Reconnect::resilient().max_retries(2)),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Pass(1000), &["connect"]),
            (Failed, &["disconnect", "wait 2000 ms: Connect(\"reset\")"]),
            (Pass(2000), &["connect"]),
            (Failed, &["disconnect", "gave up after 2: Connect(\"reset\")"]),
        ],
    );
    check(
        "no content (71)",
        by(Reconnect::resilient()),
        &[START, (Answered(204, ""), &["disconnect", "closed: NoContent"])],
    );
    check(
        "a refusal and its text (72)",
        by(Reconnect::resilient()),
        &[
            START,
            (Busy(5), &[]),
            (Bytes("bu"), &[]),
            (Bytes("sy"), &[]),
            (Ended, &["disconnect", "wait 5000 ms: 503 busy"]),
            (Pass(5000), &["connect"]),
            (Answered(404, "text/html"), &[]),
            (Pass(5000), &["disconnect", "failed: 404 "]),
        ],
    );
    check(
        "another type (69, 70)",
        by(Reconnect::resilient()),
        &[
            START,
            (Answered(200, "Text/Event-Stream ; charset=utf-8"), &["opened"]),
            (Restart, &["disconnect", "connect"]),
            (Answered(200, "text/event-streams"), &[]),
            (Failed, &["disconnect", "failed: type "]),
        ],
    );
    check(
        "compressed unasked",
        by(Reconnect::resilient()),
        &[START, (Compressed, &["disconnect", "failed: ContentEncoding"])],
    );
    check(
        "a redirect that was not followed",
        by(Reconnect::resilient()),
        &[START, (Answered(302, ""), &[]), (Ended, &["disconnect", "failed: 302 "])],
    );
    check(
        "what can never be sent",
        by(Reconnect::resilient()),
        &[START, (Unsendable, &["disconnect", "failed: Request(\"no such header\")"])],
    );
    check(
        "the server's delay (84)",
        by(Reconnect::resilient()),
        &[
            START,
            OPEN,
            (Bytes("retry: 7000\ndata: x\n\n"), &["message: x ()"]),
            (Failed, &["disconnect", "wait 7000 ms: Read(\"reset\")"]),
            (Pass(7000), &["connect"]),
        ],
    );
    check(
        "silence (86)",
        by(Reconnect::resilient()),
        &[
            START,
            OPEN,
            (Pass(9_999), &[]),
            (Bytes(":"), &[]),
            (Pass(9_999), &[]),
            (Pass(1), &["disconnect", "wait 1000 ms: ReadTimeout"]),
        ],
    );
    check(
        "no answer",
        by(Reconnect::never()),
        &[START, (Pass(59_999), &[]), (Pass(1), &["disconnect", "failed: ConnectTimeout"])],
    );
    check(
        "an event that is too large",
        by(Reconnect::resilient()),
        &[
            START,
            OPEN,
            (
                Bytes(concat!("data: ", include_str!("1001.txt"), "\n\ndata: next\n\n")),
                &["EventTooLarge { limit: 1000 }", "message: next ()"],
            ),
        ],
    );
}

#[test]
fn a_session_restarts_and_closes_in_every_state() {
    check(
        "a restart (87)",
        by(Reconnect::resilient()),
        &[
            START,
            OPEN,
            (Bytes("id: 1\ndata: x\n\ndata: cut"), &["message: x (1)"]),
            (Restart, &["disconnect", "connect after 1"]),
            OPEN,
            (Bytes("\n\n"), &[]),
        ],
    );
    check(
        "a restart after a good connection counts retries anew (85, 87)",
        by(Reconnect::resilient()),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Pass(1000), &["connect"]),
            OPEN,
            (Bytes("data: x\n\n"), &["message: x ()"]),
            (Restart, &["disconnect", "connect"]),
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
        ],
    );
    check(
        "a close while it waits (88)",
        by(Reconnect::resilient()),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Close, &["disconnect", "closed: Local"]),
            (Close, &[]),
            (Restart, &[]),
            (Pass(1000), &[]),
            (Start, &["connect"]),
        ],
    );
    check(
        "later, and not before the server wants it",
        by(Reconnect::never()),
        &[
            START,
            (Failed, &["disconnect", "failed: Connect(\"reset\")"]),
            (StartLater(None), &["wait 1000 ms"]),
            (StartLater(None), &[]),
            (Pass(1000), &["connect"]),
            (Close, &["disconnect", "closed: Local"]),
            (StartLater(Some(60)), &["wait 60000 ms"]),
        ],
    );
}

#[test]
fn the_policy_decides_about_the_end_of_a_stream() {
    const CLOSED: Step = (Ended, &["disconnect", "closed: Ended"]);
    const WAITS: Step = (Ended, &["disconnect", "wait 1000 ms: Ended"]);
    let after_end = |after_end| by(Reconnect::resilient().after_end(after_end));
    check("one stream and no more", by(Reconnect::never()), &[START, OPEN, CLOSED]);
    check("always", after_end(AfterEnd::Always), &[START, OPEN, WAITS]);
    check("never", after_end(AfterEnd::Never), &[START, OPEN, (Bytes("retry: 1000\n"), &[]), CLOSED]);
    check(
        "not asked",
        after_end(AfterEnd::Asked),
        &[START, OPEN, (Bytes("data: x\n\n"), &["message: x ()"]), CLOSED],
    );
    check("asked", after_end(AfterEnd::Asked), &[START, OPEN, (Bytes("retry: 1000\n"), &[]), WAITS]);
    check(
        "a broken stream is not an end",
        after_end(AfterEnd::Never),
        &[START, OPEN, (Failed, &["disconnect", "wait 1000 ms: Read(\"reset\")"])],
    );
}

#[test]
fn a_hidden_page_has_no_connection_if_it_is_to() {
    let pauses = || Config { pauses_hidden: true, ..Config::default() };
    check(
        "while it is open",
        pauses(),
        &[
            START,
            OPEN,
            (Bytes("id: 1\ndata: x\n\n"), &["message: x (1)"]),
            (Hidden(true), &["disconnect", "paused"]),
            (Hidden(true), &[]),
            (Pass(1_000_000), &[]),
            (Restart, &["disconnect", "paused"]),
            (Hidden(false), &["connect after 1"]),
            (Hidden(false), &[]),
        ],
    );
    check(
        "while it waits, and it goes on at once",
        pauses(),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Hidden(true), &["disconnect", "paused"]),
            (Pass(1_000_000), &[]),
            (Hidden(false), &["connect"]),
        ],
    );
    check(
        "from the start",
        pauses(),
        &[(Hidden(true), &[]), (Start, &["paused"]), (Hidden(false), &["connect first"])],
    );
    check(
        "closed",
        pauses(),
        &[
            START,
            (Hidden(true), &["disconnect", "paused"]),
            (Close, &["disconnect", "closed: Local"]),
            (Hidden(false), &[]),
        ],
    );
    check("not asked to", Config::default(), &[START, (Hidden(true), &[]), OPEN, (Hidden(false), &[])]);
}

#[test]
fn a_device_that_reports_no_network_keeps_trying_at_the_slowest_pace() {
    check(
        "the report only lengthens the delay, as for a server in the LAN",
        Config::default(),
        &[
            (Offline(true), &[]),
            START,
            (Failed, &["disconnect", "wait 30000 ms: Connect(\"reset\")"]),
            (Pass(29_999), &[]),
            (Pass(1), &["connect"]),
            OPEN,
            (Bytes("id: 1\ndata: x\n\n"), &["message: x (1)"]),
            (Failed, &["disconnect", "wait 30000 ms: Read(\"reset\")"]),
            (Offline(false), &["connect after 1"]),
            (Failed, &["disconnect", "wait 2000 ms: Connect(\"reset\")"]),
        ],
    );
    check(
        "a delay that runs is lengthened, and a network ends it",
        Config::default(),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Offline(true), &["wait 30000 ms"]),
            (Pass(1_000), &[]),
            (Offline(false), &["connect"]),
        ],
    );
    check(
        "a longer delay of the server stays, and the policy's longest delay counts",
        by(Reconnect::resilient().max_delay(Duration::from_secs(3))),
        &[
            (Offline(true), &[]),
            START,
            (Busy(5), &[]),
            (Ended, &["disconnect", "wait 5000 ms: 503 "]),
            (Offline(true), &[]),
            (Pass(5_000), &["connect"]),
            (Failed, &["disconnect", "wait 3000 ms: Connect(\"reset\")"]),
        ],
    );
    check(
        "a connection that stands is left alone",
        Config::default(),
        &[
            START,
            OPEN,
            (Offline(true), &[]),
            (Offline(false), &[]),
            (Bytes("data: x\n\n"), &["message: x ()"]),
        ],
    );
    check(
        "hidden and offline",
        Config { pauses_hidden: true, ..Config::default() },
        &[
            START,
            (Offline(true), &[]),
            (Hidden(true), &["disconnect", "paused"]),
            (Offline(false), &[]),
            (Hidden(false), &["connect"]),
        ],
    );
}

#[test]
fn a_pause_whose_end_is_not_reported_ends_all_the_same() {
    check(
        "a page whose timers run is not frozen",
        Config::default(),
        &[START, OPEN, (Frozen, &["disconnect", "paused"]), (Pass(59_999), &[]), (Pass(1), &["connect"])],
    );
    check(
        "a hidden page stays without a connection, and is looked at every minute",
        Config { pauses_hidden: true, ..Config::default() },
        &[
            START,
            (Hidden(true), &["disconnect", "paused"]),
            (Pass(60_000), &[]),
            (Pass(59_999), &[]),
            // The shell finds this when the timer is due.
            (Hidden(false), &["connect"]),
        ],
    );
    let mut session = Session::<&str>::new(Config { pauses_hidden: true, ..Config::default() }, 0);
    session.start(Duration::ZERO);
    session.hidden(true, Duration::ZERO);
    assert_eq!(session.deadline(), Some(Duration::from_secs(60)));
    session.tick(Duration::from_secs(60));
    assert_eq!(session.deadline(), Some(Duration::from_secs(120)));
}

#[test]
fn a_stream_that_may_have_died_in_the_machine_s_sleep_is_opened_again() {
    let unwatched = |input| (input, &[] as &[&str]);
    let event: Step = (Bytes("id: 1\ndata: x\n\n"), &["message: x (1)"]);
    let quiet = || Config { read_timeout: Some(Duration::MAX), ..Config::default() };
    check(
        "after a minute without a byte",
        quiet(),
        &[
            START,
            OPEN,
            event,
            unwatched(Pass(59_999)),
            unwatched(Woken(0)),
            unwatched(Pass(1)),
            (Woken(0), &["disconnect", "connect after 1"]),
            OPEN,
        ],
    );
    check(
        "also if the clock stood still",
        quiet(),
        &[START, OPEN, event, unwatched(Woken(59)), (Woken(60), &["disconnect", "connect after 1"])],
    );
    check(
        "a delay that has passed is over",
        quiet(),
        &[
            START,
            (Busy(3600), &[]),
            (Ended, &["disconnect", "wait 3600000 ms: 503 "]),
            unwatched(Woken(3599)),
            (Woken(3600), &["connect"]),
        ],
    );
    check(
        "not a request that must not be repeated",
        Config { method: MethodClass::Neither, ..quiet() },
        &[START, OPEN, (Bytes("data: x\n\n"), &["message: x ()"]), unwatched(Woken(3600))],
    );
    check("nor anything else", quiet(), &[unwatched(Woken(60)), START, unwatched(Woken(60)), OPEN]);
}

/// The items of a stream that ends after these bytes.
fn given_at_the_end(stream: &str, accepts_incomplete_event: bool) -> Vec<String> {
    let config = Config { accepts_incomplete_event, ..Config::default() };
    let mut session = Session::<&str>::new(config, 0);
    let (now, mut seen) = (Duration::ZERO, Vec::new());
    session.start(now);
    let content_type = Some("text/event-stream");
    session.answered(&Answer { status: 200, content_type, ..Answer::default() }, now);
    session.bytes(stream.as_bytes(), now, |_| {});
    session.ended(now, |item| seen.push(read(item)));
    seen
}

#[test]
fn an_event_whose_blank_line_is_missing_is_given_or_reported() {
    let incomplete = ["IncompleteEvent".to_owned()];
    for (stream, event) in [
        ("data: x", "message: x ()"),
        ("data: x\r", "message: x ()"),
        ("data: x\r\n", "message: x ()"),
        ("id: 1\ndata: a\n\nevent: end\ndata: x\ndata: y\n", "end: x\ny (1)"),
        ("id: 2\ndata", "message:  (2)"),
    ] {
        assert_eq!(given_at_the_end(stream, false), incomplete, "{stream:?}");
        assert_eq!(given_at_the_end(stream, true), [event], "{stream:?}");
    }
    for no_event in ["id: 2\n", "event: end", "dat"] {
        assert_eq!(given_at_the_end(no_event, false), incomplete, "{no_event:?}");
        assert!(given_at_the_end(no_event, true).is_empty(), "{no_event:?}");
    }
    for complete in ["", "retry: 7", "data: x\n\n", "data: x\n\n: bye\n", "data: x\r\r:", "unknown: x\n"] {
        assert!(given_at_the_end(complete, false).is_empty(), "{complete:?}");
        assert!(given_at_the_end(complete, true).is_empty(), "{complete:?}");
    }
}

#[test]
fn an_accepted_event_counts_for_the_next_attempt() {
    check(
        "its id",
        Config { accepts_incomplete_event: true, ..Config::default() },
        &[
            START,
            OPEN,
            (Bytes("id: 7\ndata: x"), &[]),
            (Ended, &["message: x (7)", "disconnect", "wait 1000 ms: Ended"]),
            (Pass(1000), &["connect after 7"]),
        ],
    );
}

#[test]
fn a_page_that_was_frozen_gets_its_time_again() {
    check(
        "it connects again",
        Config::default(),
        &[
            START,
            OPEN,
            (Bytes("id: 1\ndata: x\n\n"), &["message: x (1)"]),
            (Frozen, &["disconnect", "paused"]),
            (Frozen, &[]),
            (Thawed(3_600_000), &["connect after 1"]),
            OPEN,
        ],
    );
    check(
        "hidden too",
        Config { pauses_hidden: true, ..Config::default() },
        &[
            START,
            (Hidden(true), &["disconnect", "paused"]),
            (Frozen, &[]),
            (Thawed(3_600_000), &["paused"]),
            (Hidden(false), &["connect"]),
        ],
    );
    check(
        "silence is counted from now",
        Config::default(),
        &[
            START,
            OPEN,
            (Thawed(3_600_000), &[]),
            (Pass(9_999), &[]),
            (Pass(1), &["disconnect", "wait 1000 ms: ReadTimeout"]),
        ],
    );
    check(
        "an attempt has its time",
        Config::default(),
        &[START, (Thawed(3_600_000), &[]), (Pass(59_999), &[]), OPEN],
    );
    check(
        "a delay has passed",
        Config::default(),
        &[
            START,
            (Failed, &["disconnect", "wait 1000 ms: Connect(\"reset\")"]),
            (Thawed(3_600_000), &["connect"]),
        ],
    );
}
