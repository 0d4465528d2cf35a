//! The machine by itself: inputs and times go in, and what is to be done comes out.

use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::{Behaviour, Output, Session};
use crate::request::Request;
use crate::{BoxError, CloseReason, Reconnect, Status, TransportError};

/// What happens to a session.
#[derive(Clone, Copy)]
enum Input {
    Start,
    Restart,
    Close,
    /// This many milliseconds pass.
    Pass(u64),
    Headers(Result<(), &'static str>),
    Opened(u16, &'static [(&'static str, &'static str)]),
    Bytes(&'static str),
    Ended,
    Failed,
}

use Input::{Bytes, Close, Ended, Failed, Headers, Opened, Pass, Restart, Start};

const STREAM: Input = Opened(200, &[("content-type", "text/event-stream")]);

type Step = (Input, &'static [&'static str]);

/// Each step and all that the session wants done after it.
fn check(name: &str, reconnect: Reconnect, asks_headers: bool, steps: &[Step]) {
    let behaviour = Behaviour {
        reconnect: reconnect.without_jitter(),
        connect_timeout: Duration::from_secs(60),
        read_timeout: Some(Duration::from_secs(10)),
        max_event_bytes: 1000,
        comments: true,
        asks_headers,
    };
    let request = Request::new(Url::parse("http://host/a").unwrap());
    let mut session = Session::new(Ok(request), behaviour, Rng::with_seed(0));
    let start = Instant::now();
    let mut now = start;
    for (number, &(input, expected)) in steps.iter().enumerate() {
        match input {
            Start => session.start(now),
            Restart => session.restart(now),
            Close => session.close(CloseReason::Local),
            Pass(millis) => {
                now += Duration::from_millis(millis);
                session.tick(now);
            }
            Headers(headers) => {
                session.headers(headers.map(|()| HeaderMap::new()).map_err(BoxError::from), now)
            }
            Opened(status, headers) => {
                let headers = headers
                    .iter()
                    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                    .collect();
                session.opened(StatusCode::from_u16(status).unwrap(), headers, now, SystemTime::UNIX_EPOCH);
            }
            Bytes(bytes) => session.bytes(bytes.as_bytes(), now),
            Ended => session.ended(now),
            Failed => session.failed(TransportError::new("reset"), now),
        }
        let outputs: Vec<_> =
            std::iter::from_fn(|| session.next_output()).map(|it| describe(&it, now)).collect();
        assert_eq!(outputs, expected, "{name}, step {number}");
    }
}

fn describe(output: &Output, now: Instant) -> String {
    match output {
        Output::AskHeaders => "ask headers".to_owned(),
        Output::Connect(request) => {
            let id =
                request.headers().get("last-event-id").map(|id| format!(" after {}", id.to_str().unwrap()));
            format!("{} {}{}", request.method(), request.uri().path(), id.unwrap_or_default())
        }
        Output::Disconnect => "disconnect".to_owned(),
        Output::Status(Status::Connecting) => "connecting".to_owned(),
        Output::Status(Status::Open) => "open".to_owned(),
        Output::Status(Status::Waiting { until, .. }) => format!("wait {} ms", (*until - now).as_millis()),
        Output::Status(Status::Closed { .. }) => "status closed".to_owned(),
        Output::Status(other) => format!("{other:?}"),
        Output::Response(response) => format!("response {}", response.status().as_u16()),
        Output::Opened => "opened".to_owned(),
        Output::Message(it) => format!("{}: {} ({})", it.event(), it.data(), it.last_event_id()),
        Output::Comment(text) => format!("comment {text}"),
        Output::TooLarge { limit } => format!("too large {limit}"),
        Output::Error(error) => format!("error {error}"),
        Output::Closed(reason) => format!("closed: {reason}"),
    }
}

const ENDED: &str = "error the server ended the event stream";

#[test]
fn a_session_does_what_the_standard_says() {
    let open: Step = (STREAM, &["response 200", "open", "opened"]);
    let start: Step = (Start, &["connecting", "GET /a"]);
    check(
        "an event and an end (74, 76, 77, 89)",
        Reconnect::resilient(),
        false,
        &[
            start,
            open,
            (Bytes("id: 1\ndata: x\n"), &[]),
            (Bytes("\n:c\n"), &["message: x (1)", "comment c"]),
            (Ended, &["disconnect", "wait 1000 ms", ENDED]),
            (Pass(999), &[]),
            (Pass(1), &["connecting", "GET /a after 1"]),
            open,
            (Close, &["disconnect", "status closed", "closed: closed here"]),
            (Bytes("data: y\n\n"), &[]),
            (Pass(1_000_000), &[]),
        ],
    );
    check(
        "refused connections (75, 85)",
        Reconnect::resilient().max_retries(2),
        false,
        &[
            start,
            (Failed, &["disconnect", "wait 1000 ms", "error cannot reach http://host/a"]),
            (Pass(1000), &["connecting", "GET /a"]),
            (Failed, &["disconnect", "wait 2000 ms", "error cannot reach http://host/a"]),
            (Pass(2000), &["connecting", "GET /a"]),
            (
                Failed,
                &[
                    "disconnect",
                    "status closed",
                    "error cannot reach http://host/a",
                    "closed: gave up after 2 retries",
                ],
            ),
        ],
    );
    check(
        "a redirect and its next attempt (68)",
        Reconnect::resilient(),
        false,
        &[
            start,
            (Opened(302, &[("location", "/b?c")]), &["GET /b"]),
            open,
            (Ended, &["disconnect", "wait 1000 ms", ENDED]),
            (Pass(1000), &["connecting", "GET /a"]),
        ],
    );
    check(
        "no content (71)",
        Reconnect::resilient(),
        false,
        &[
            start,
            (
                Opened(204, &[]),
                &[
                    "response 204",
                    "disconnect",
                    "status closed",
                    "error the server says that there is nothing to listen to (204 No Content)",
                    "closed: the server says that there is nothing to listen to (204 No Content)",
                ],
            ),
        ],
    );
    check(
        "a refusal and its text (72)",
        Reconnect::resilient(),
        false,
        &[
            start,
            (Opened(503, &[("retry-after", "5")]), &["response 503"]),
            (Bytes("bu"), &[]),
            (Bytes("sy"), &[]),
            (
                Ended,
                &["disconnect", "wait 5000 ms", "error the server answered 503 Service Unavailable: busy"],
            ),
            (Pass(5000), &["connecting", "GET /a"]),
            (Opened(404, &[]), &["response 404"]),
            (
                Pass(5000),
                &[
                    "disconnect",
                    "status closed",
                    "error the server answered 404 Not Found",
                    "closed: it failed",
                ],
            ),
        ],
    );
    check(
        "the server's delay (84)",
        Reconnect::resilient(),
        false,
        &[
            start,
            open,
            (Bytes("retry: 7000\ndata: x\n\n"), &["message: x ()"]),
            (Failed, &["disconnect", "wait 7000 ms", "error the event stream broke off"]),
            (Pass(7000), &["connecting", "GET /a"]),
        ],
    );
    check(
        "silence (86)",
        Reconnect::resilient(),
        false,
        &[
            start,
            open,
            (Pass(9_999), &[]),
            (Bytes(":"), &[]),
            (Pass(9_999), &[]),
            (Pass(1), &["disconnect", "wait 1000 ms", "error nothing was received for 10s"]),
        ],
    );
    check(
        "no answer",
        Reconnect::never(),
        false,
        &[
            start,
            (Pass(59_999), &[]),
            (
                Pass(1),
                &[
                    "disconnect",
                    "status closed",
                    "error http://host/a has not answered within 60s: is it overloaded, or does it need a longer connect_timeout?",
                    "closed: it failed",
                ],
            ),
        ],
    );
    check(
        "a restart (87)",
        Reconnect::resilient(),
        false,
        &[
            start,
            open,
            (Bytes("id: 1\ndata: x\n\ndata: cut"), &["message: x (1)"]),
            (Restart, &["disconnect", "connecting", "GET /a after 1"]),
            open,
            (Bytes("\n\n"), &[]),
        ],
    );
    check(
        "a restart after a good connection counts retries anew (85, 87)",
        Reconnect::resilient(),
        false,
        &[
            start,
            (Failed, &["disconnect", "wait 1000 ms", "error cannot reach http://host/a"]),
            (Pass(1000), &["connecting", "GET /a"]),
            open,
            (Bytes("data: x\n\n"), &["message: x ()"]),
            (Restart, &["disconnect", "connecting", "GET /a"]),
            (Failed, &["disconnect", "wait 1000 ms", "error cannot reach http://host/a"]),
        ],
    );
    check(
        "a close while it waits (88)",
        Reconnect::resilient(),
        false,
        &[
            start,
            (Failed, &["disconnect", "wait 1000 ms", "error cannot reach http://host/a"]),
            (Close, &["disconnect", "status closed", "closed: closed here"]),
            (Pass(1000), &[]),
            (Start, &["connecting", "GET /a"]),
        ],
    );
    check(
        "one stream and no more",
        Reconnect::never(),
        false,
        &[
            start,
            open,
            (Ended, &["disconnect", "status closed", "closed: the server ended the event stream"]),
        ],
    );
    check(
        "headers asked for anew (64)",
        Reconnect::resilient(),
        true,
        &[
            (Start, &["connecting", "ask headers"]),
            (Headers(Ok(())), &["GET /a"]),
            (Failed, &["disconnect", "wait 1000 ms", "error cannot reach http://host/a"]),
            (Pass(1000), &["connecting", "ask headers"]),
            (Headers(Err("no token")), &["disconnect", "wait 2000 ms", "error no headers for the request"]),
            (Pass(2000), &["connecting", "ask headers"]),
            (Pass(60_000), &["disconnect", "wait 4000 ms", "error no headers for the request"]),
            (Headers(Ok(())), &[]),
        ],
    );
}
