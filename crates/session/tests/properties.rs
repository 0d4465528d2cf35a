//! Whatever happens, in whatever order, a shell can rely on this.

use std::time::Duration;

use proptest::prelude::*;
use ssekit_session::{AfterEnd, Answer, CloseReason, Config, MethodClass, Output, Reconnect, Session};

#[derive(Clone, Debug)]
enum Input {
    Start,
    StartLater(Option<Duration>),
    Restart,
    Close,
    Abandon,
    Answered { status: u16, stream: bool, retry_after: Option<Duration> },
    Bytes(Vec<u8>),
    Reading,
    Ended,
    Failed,
    Unsendable,
    Hidden(bool),
    Offline(bool),
    Frozen,
    Thawed,
    Woken(Duration),
    NothingSent,
    Sent,
    Tick,
}

fn input() -> impl Strategy<Value = Input> {
    let delay = || prop::option::of((0..u64::MAX).prop_map(Duration::from_millis));
    prop_oneof![
        Just(Input::Start),
        delay().prop_map(Input::StartLater),
        Just(Input::Restart),
        Just(Input::Close),
        Just(Input::Abandon),
        (prop_oneof![Just(200), Just(204), Just(503), any::<u16>()], any::<bool>(), delay())
            .prop_map(|(status, stream, retry_after)| Input::Answered { status, stream, retry_after }),
        "(id: [a-c]\n|data: x\n|retry: [0-9]{1,25}\n|\n|[a-z: \r]{0,5}){0,8}"
            .prop_map(|text| Input::Bytes(text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..40_000).prop_map(Input::Bytes),
        Just(Input::Reading),
        Just(Input::Ended),
        Just(Input::Failed),
        Just(Input::Unsendable),
        any::<bool>().prop_map(Input::Hidden),
        any::<bool>().prop_map(Input::Offline),
        Just(Input::Frozen),
        Just(Input::Thawed),
        delay().prop_map(|slept| Input::Woken(slept.unwrap_or_default())),
        Just(Input::NothingSent),
        Just(Input::Sent),
        Just(Input::Tick),
        Just(Input::Tick),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let reconnect = prop_oneof![
        Just(Reconnect::resilient()),
        Just(Reconnect::standard()),
        Just(Reconnect::never()),
        (0..3_u32).prop_map(|retries| Reconnect::resilient().max_retries(retries).without_jitter()),
        Just(Reconnect::resilient().after_end(AfterEnd::Asked)),
        Just(Reconnect::resilient().delay(Duration::MAX).max_server_delay(Duration::MAX)),
    ];
    let timeout = prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(1)), Just(Duration::MAX)];
    let method =
        prop_oneof![Just(MethodClass::Safe), Just(MethodClass::Idempotent), Just(MethodClass::Neither)];
    let switches = (any::<bool>(), any::<bool>(), any::<bool>());
    (method, reconnect, timeout.clone(), prop::option::of(timeout), switches).prop_map(
        |(method, reconnect, connect_timeout, read_timeout, (comments, pauses_hidden, accepts))| Config {
            method,
            reconnect,
            connect_timeout,
            read_timeout,
            comments,
            pauses_hidden,
            max_event_bytes: 1 << 10,
            accepts_incomplete_event: accepts,
        },
    )
}

proptest! {
    #[test]
    fn outputs_are_in_order_with_one_close(
        config in config(),
        steps in prop::collection::vec((input(), 0..5_000_u64), 0..60),
    ) {
        let mut session = Session::<()>::new(config, 1);
        let mut now = Duration::from_secs(1);
        // The state of the shell: it has a request or a stream, the stream is open, it got a close.
        let (mut stands, mut open, mut closed) = (false, false, false);
        for (input, millis) in steps {
            now += Duration::from_millis(millis);
            let restarts = matches!(input, Input::Start | Input::StartLater(_));
            match input {
                Input::Start => session.start(now),
                Input::StartLater(retry_after) => session.start_later(retry_after, now),
                Input::Restart => session.restart(now),
                Input::Close => session.close(CloseReason::Local),
                Input::Abandon => {
                    let may_reopen = session.abandon();
                    prop_assert_eq!(session.is_closed(), !may_reopen);
                    (stands, open, closed) = (false, false, !may_reopen);
                }
                Input::Answered { status, stream, retry_after } => {
                    let content_type = stream.then_some("text/event-stream");
                    session.answered(&Answer { status, content_type, content_encoding: None, retry_after }, now);
                }
                Input::Bytes(bytes) => {
                    let mut items = 0;
                    session.bytes(&bytes, now, |_| items += 1);
                    prop_assert!(items == 0 || open, "events without an open stream");
                }
                Input::Reading => session.reading(now),
                Input::Ended => {
                    let mut items = 0;
                    session.ended(now, |_| items += 1);
                    prop_assert!(items == 0 || open, "events without an open stream");
                }
                Input::Failed => session.failed((), now),
                Input::Unsendable => session.unsendable(()),
                Input::Hidden(hidden) => session.hidden(hidden, now),
                Input::Offline(offline) => session.offline(offline, now),
                Input::Frozen => session.frozen(now),
                Input::Thawed => session.thawed(now),
                Input::Woken(slept) => session.woken(slept, now),
                Input::NothingSent => session.nothing_sent(),
                Input::Sent => session.sent(),
                Input::Tick => session.tick(now),
            }
            while let Some(output) = session.next_output() {
                prop_assert!(!closed || restarts, "{output:?} after a close");
                closed = false;
                match output {
                    Output::Connect { .. } => {
                        prop_assert!(!stands, "another request beside one that stands");
                        stands = true;
                    }
                    Output::Disconnect => (stands, open) = (false, false),
                    Output::Opened => {
                        prop_assert!(stands && !open, "opened what was not asked for");
                        open = true;
                    }
                    Output::Waiting { until, .. } => {
                        prop_assert!(!stands, "waits while something stands");
                        prop_assert!(until >= now);
                    }
                    Output::Paused { .. } => prop_assert!(!stands, "paused while something stands"),
                    Output::Closed(_) => {
                        prop_assert!(!stands, "closed while something stands");
                        closed = true;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(session.is_closed(), closed);
            if closed {
                prop_assert_eq!(session.deadline(), None);
            }
        }
    }
}
