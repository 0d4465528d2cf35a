//! Every row of the table that says when a request may be repeated: as a function, and as a session follows
//! it.

use std::time::Duration;

use ssekit_session::{
    AfterEnd, Answer, CloseReason, Config, Failure, MethodClass, NotRepeated, Output, Progress, Reconnect,
    RepeatChoice, Session, repeat,
};

use MethodClass::{Idempotent, Neither, Safe};
use NotRepeated::{Answered, MayHaveHadEffect, Refused};

const CLASSES: [MethodClass; 3] = [Safe, Idempotent, Neither];

type Verdict = Result<(), NotRepeated>;

/// The rows in the order of the table in the documentation of `repeat`: safe, idempotent, neither.
fn table() -> Vec<(Progress, [Verdict; 3])> {
    const YES: Verdict = Ok(());
    let mut rows = vec![
        (Progress::NothingSent, [YES; 3]),
        (Progress::NoHead { resumes: true }, [YES; 3]),
        (Progress::NoHead { resumes: false }, [YES, YES, Err(MayHaveHadEffect)]),
    ];
    for resumes in [true, false] {
        for status in [408, 425, 429, 503] {
            rows.push((Progress::Refused { status, resumes }, [YES; 3]));
        }
        for status in [500, 501, 502, 504, 599] {
            let neither = if resumes { YES } else { Err(MayHaveHadEffect) };
            rows.push((Progress::Refused { status, resumes }, [YES, YES, neither]));
        }
        for status in [200, 204, 206, 302, 400, 401, 403, 404, 407, 409, 410, 426, 430, 499, 600] {
            rows.push((Progress::Refused { status, resumes }, [Err(Refused); 3]));
        }
    }
    rows.extend([
        (Progress::Broken { resumes: true }, [YES; 3]),
        (Progress::Broken { resumes: false }, [YES, YES, Err(MayHaveHadEffect)]),
        (Progress::Ended { asked_to_return: true }, [YES; 3]),
        (Progress::Ended { asked_to_return: false }, [YES, Err(Answered), Err(Answered)]),
    ]);
    rows
}

#[test]
fn every_row_by_method() {
    for (progress, verdicts) in table() {
        for (method, verdict) in CLASSES.into_iter().zip(verdicts) {
            assert_eq!(
                repeat(method, progress, RepeatChoice::default()),
                verdict,
                "{method:?}, {progress:?}"
            );
        }
    }
}

#[test]
fn every_row_by_choice() {
    let unset = RepeatChoice::default();
    for (progress, [safe, ..]) in table() {
        for method in CLASSES {
            let like_safe = RepeatChoice { like_safe: true, ..unset };
            assert_eq!(
                repeat(method, progress, like_safe),
                safe,
                "like a safe one: {method:?}, {progress:?}"
            );

            let final_refusals = RepeatChoice { after_refusal: false, ..unset };
            let expected = match progress {
                Progress::Refused { .. } => Err(Refused),
                _ => repeat(method, progress, unset),
            };
            assert_eq!(repeat(method, progress, final_refusals), expected, "{method:?}, {progress:?}");

            for after_end in [AfterEnd::Always, AfterEnd::Asked, AfterEnd::Never] {
                let expected = match (progress, after_end) {
                    (Progress::Ended { .. }, AfterEnd::Always)
                    | (Progress::Ended { asked_to_return: true }, AfterEnd::Asked) => Ok(()),
                    (Progress::Ended { .. }, _) => Err(Answered),
                    _ => repeat(method, progress, unset),
                };
                let choice = RepeatChoice { after_end, ..unset };
                assert_eq!(
                    repeat(method, progress, choice),
                    expected,
                    "{after_end:?}: {method:?}, {progress:?}"
                );
            }
        }
    }
}

#[test]
fn methods_have_the_classes_of_rfc_9110() {
    for (names, class) in [
        (&["GET", "HEAD", "OPTIONS", "TRACE"][..], Safe),
        (&["PUT", "DELETE"], Idempotent),
        (&["POST", "PATCH", "CONNECT", "QUERY", "get", "Get", "PUT ", ""], Neither),
    ] {
        for name in names {
            assert_eq!(MethodClass::of(name), class, "{name:?}");
        }
    }
}

const ID: &str = "id: 7\ndata: x\n\n";

/// Brings a session to the point where its attempt or its stream is over; `None` if no input leads there.
fn over(method: MethodClass, reconnect: Reconnect, progress: Progress) -> Option<Session<&'static str>> {
    let now = Duration::ZERO;
    let content_type = Some("text/event-stream");
    let stream = Answer { status: 200, content_type, ..Answer::default() };
    let mut session = Session::new(Config { method, reconnect, ..Config::default() }, 0);
    if let Progress::NoHead { resumes: true } | Progress::Refused { resumes: true, .. } = progress {
        session = session.with_last_event_id("7").expect("an id");
    }
    session.start(now);
    match progress {
        Progress::NothingSent => {
            session.nothing_sent();
            session.failed("refused", now);
        }
        Progress::NoHead { .. } => session.failed("reset", now),
        Progress::Refused { status: 204, .. } => return None,
        Progress::Refused { status, .. } => {
            session.answered(&Answer { status, ..Answer::default() }, now);
            session.ended(now, |_| {});
        }
        Progress::Broken { resumes } => {
            session.answered(&stream, now);
            session.bytes(if resumes { ID } else { "data: x\n\n" }.as_bytes(), now, |_| {});
            session.failed("reset", now);
        }
        Progress::Ended { asked_to_return } => {
            session.answered(&stream, now);
            // That it could resume makes a complete response no less complete.
            session.bytes(ID.as_bytes(), now, |_| {});
            session.bytes(if asked_to_return { "retry: 1\n" } else { "" }.as_bytes(), now, |_| {});
            session.ended(now, |_| {});
        }
    }
    Some(session)
}

/// Why it is closed; `None` if it waits for another attempt.
fn closed(mut session: Session<&str>) -> Option<CloseReason<&str>> {
    loop {
        match session.next_output().expect("it waits, or it is closed") {
            Output::Waiting { .. } => return None,
            Output::Closed(reason) => return Some(reason),
            _ => {}
        }
    }
}

#[test]
fn a_session_follows_every_row() {
    for (progress, verdicts) in table() {
        for (method, verdict) in CLASSES.into_iter().zip(verdicts) {
            let Some(session) = over(method, Reconnect::resilient(), progress) else { continue };
            let reason = closed(session);
            let matches = matches!(
                (verdict, &reason),
                (Ok(()), None)
                    | (Err(Refused), Some(CloseReason::Failed(_)))
                    | (Err(Answered), Some(CloseReason::Ended))
                    | (Err(MayHaveHadEffect), Some(CloseReason::NotRepeated(_)))
            );
            assert!(matches, "{method:?}, {progress:?}: {reason:?}");

            let session =
                over(method, Reconnect::resilient().repeat_like_safe(), progress).expect("the same");
            assert_eq!(closed(session).is_none(), verdicts[0].is_ok(), "like safe: {method:?}, {progress:?}");
        }
    }
}

#[test]
fn a_timeout_follows_the_table() {
    let now = Duration::ZERO;
    let start = |method| {
        let mut session = Session::<&str>::new(Config { method, ..Config::default() }, 0);
        session.start(now);
        session
    };
    let mut unsent = start(Neither);
    unsent.nothing_sent();
    unsent.tick(Duration::from_secs(60));
    assert_eq!(closed(unsent), None, "no connection within the timeout");

    let mut sent = start(Neither);
    sent.nothing_sent();
    sent.sent();
    sent.tick(Duration::from_secs(60));
    assert_eq!(closed(sent), Some(CloseReason::NotRepeated(Failure::ConnectTimeout)));

    let mut idempotent = start(Idempotent);
    idempotent.tick(Duration::from_secs(60));
    assert_eq!(closed(idempotent), None);

    let config = Config { method: Neither, read_timeout: Some(Duration::from_secs(1)), ..Config::default() };
    let mut silent = Session::<&str>::new(config, 0);
    silent.start(now);
    let content_type = Some("text/event-stream");
    silent.answered(&Answer { status: 200, content_type, ..Answer::default() }, now);
    silent.tick(Duration::from_secs(1));
    assert_eq!(closed(silent), Some(CloseReason::NotRepeated(Failure::ReadTimeout)));
}

#[test]
fn an_id_that_no_header_can_carry_is_none_to_resume_after() {
    for (id, resumes) in [("7", true), ("a\tb", true), ("\u{1}", false), ("7 ", false), ("\t7", false)] {
        let mut session = Session::<&str>::new(Config { method: Neither, ..Config::default() }, 0)
            .with_last_event_id(id)
            .expect("an id");
        session.start(Duration::ZERO);
        session.failed("reset", Duration::ZERO);
        assert_eq!(closed(session).is_none(), resumes, "{id:?}");
    }
}

#[test]
fn no_page_event_repeats_a_request_that_must_not_be_repeated() {
    let now = Duration::ZERO;
    let content_type = Some("text/event-stream");
    let stream = Answer { status: 200, content_type, ..Answer::default() };
    let open = |bytes: &str| {
        let mut session = Session::<&str>::new(Config { method: Neither, ..Config::default() }, 0);
        session.start(now);
        session.answered(&stream, now);
        session.bytes(bytes.as_bytes(), now, |_| {});
        while session.next_output().is_some() {}
        session
    };
    let mut frozen = open("data: x\n\n");
    frozen.frozen(now);
    assert_eq!(closed(frozen), Some(CloseReason::NotRepeated(Failure::Frozen)));
    let mut resumable = open(ID);
    resumable.frozen(now);
    assert_eq!(resumable.next_output(), Some(Output::Disconnect));
    assert_eq!(resumable.next_output(), Some(Output::Paused { failure: None }));

    let mut woken = open("data: x\n\n");
    woken.woken(Duration::from_secs(3600), now);
    assert_eq!(woken.next_output(), None, "it may be alive");

    assert!(!open("data: x\n\n").abandon(), "its runtime is gone");
    assert!(open(ID).abandon());
}

#[test]
fn the_first_attempt_is_the_first_that_can_have_reached_the_server() {
    let mut session = Session::<&str>::new(Config::default(), 0);
    let mut now = Duration::ZERO;
    let connect = |session: &mut Session<&str>| {
        std::iter::from_fn(|| session.next_output()).find_map(|output| match output {
            Output::Connect { first } => Some(first),
            _ => None,
        })
    };
    session.start(now);
    assert_eq!(connect(&mut session), Some(true));
    session.nothing_sent();
    session.failed("refused", now);
    now = session.deadline().expect("a delay");
    session.tick(now);
    assert_eq!(connect(&mut session), Some(true), "nothing was sent");
    session.failed("reset", now);
    now = session.deadline().expect("a delay");
    session.tick(now);
    assert_eq!(connect(&mut session), Some(false));
}

#[test]
fn a_policy_that_makes_one_attempt_gives_its_own_reason() {
    let session = over(Neither, Reconnect::never(), Progress::NoHead { resumes: false }).expect("a failure");
    assert_eq!(closed(session), Some(CloseReason::Failed(Failure::Connect("reset"))));
}
