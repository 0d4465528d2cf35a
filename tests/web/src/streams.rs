//! The streams, each a small one that a test knows beforehand. Their events have the ids 1, 2, … unless it
//! says otherwise.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use ssekit::{Event, LastEventId, Produce, produce};
use tokio::time::{Instant, interval, sleep};

use crate::app::App;

#[derive(Deserialize)]
pub(crate) struct Every {
    /// Milliseconds between events.
    every: Option<u64>,
}

impl Every {
    fn or(&self, default: u64) -> Duration {
        Duration::from_millis(self.every.unwrap_or(default).max(1))
    }
}

/// A `message` every 100 ms: how many milliseconds the stream is old.
pub(crate) async fn clock(State(app): State<App>, Query(every): Query<Every>) -> Produce {
    let mut ticks = interval(every.or(100));
    app.count(
        produce(move |stream| async move {
            let start = Instant::now();
            loop {
                ticks.tick().await;
                stream.emit("message", start.elapsed().as_millis().to_string())?;
            }
        })
        .ids_from(1),
    )
}

/// One `message`, "hello", and the end.
pub(crate) async fn lock(State(app): State<App>) -> Produce {
    app.count(
        produce(|stream| async move {
            stream.emit("message", "hello")?;
            stream.lock().set(false);
            Ok(())
        })
        .ids_from(1),
    )
}

/// A `message`, then pings alone.
pub(crate) async fn ping(State(app): State<App>, Query(every): Query<Every>) -> Produce {
    let stream = produce(|stream| async move {
        stream.emit("message", "hello")?;
        stream.closed().await;
        Ok(())
    });
    app.count(stream.ids_from(1).ping(every.or(100)))
}

#[derive(Serialize)]
struct Stats {
    sequence: u64,
    load: f64,
    host: &'static str,
}

/// Five `stats` as JSON, of which the third is cut short; the stream stays open.
pub(crate) async fn json(State(app): State<App>) -> Produce {
    app.count(
        produce(|stream| async move {
            for sequence in 1..=5 {
                let stats = Stats { sequence, load: sequence as f64 / 4.0, host: "fixture" };
                if sequence == 3 {
                    let text = serde_json::to_string(&stats)?;
                    stream.send(Event::new(&text[..text.len() / 2]).with_event("stats")?).await?;
                } else {
                    stream.emit_json("stats", &stats)?;
                }
            }
            stream.closed().await;
            Ok(())
        })
        .ids_from(1),
    )
}

/// Each second: the `time`, in milliseconds since 1970, and as `stats` how many streams are open.
pub(crate) async fn live(State(app): State<App>, Query(every): Query<Every>) -> Produce {
    let mut ticks = interval(every.or(1000));
    app.count(produce({
        let app = app.clone();
        move |stream| async move {
            loop {
                ticks.tick().await;
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                stream.emit("time", time.as_millis().to_string())?;
                stream.emit_json("stats", &app.open())?;
            }
        }
    }))
}

#[derive(Deserialize)]
pub(crate) struct Amount {
    /// How many events.
    n: Option<u64>,
    /// Bytes of each one's data.
    size: Option<usize>,
}

/// As fast as the client reads: `n` events (1000) of `size` bytes (100) that begin with their number, then
/// `done`.
///
/// It resumes after the last event ID. The stream stays open after `done`.
pub(crate) async fn many(State(app): State<App>, Query(amount): Query<Amount>, last: LastEventId) -> Produce {
    let (n, size) = (amount.n.unwrap_or(1000), amount.size.unwrap_or(100).min(1 << 20));
    let seen: u64 = last.as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
    app.count(produce(move |stream| async move {
        for number in seen + 1..=n {
            let data = format!("{number}{:.<size$}", " ");
            let data = &data[..size.max(number.to_string().len())];
            stream.send(Event::new(data).with_id(number.to_string())?).await?;
        }
        stream.send(Event::new(n.to_string()).with_event("done")?).await?;
        stream.closed().await;
        Ok(())
    }))
}

/// Like a language model's answer: `n` chunks (200) of JSON, one every so many milliseconds (as fast as it
/// goes when `every` is absent), then `[DONE]` and the end.
pub(crate) async fn tokens(
    State(app): State<App>,
    Query(amount): Query<Amount>,
    Query(every): Query<Every>,
) -> Produce {
    const WORDS: [&str; 8] = ["The", " answer", " is", " \"forty", "-two\"", ",", " naïvely", ".\n"];
    let (n, pause) = (amount.n.unwrap_or(200), every.every.map(Duration::from_millis));
    app.count(produce(move |stream| async move {
        for (index, word) in (0..n).zip(WORDS.into_iter().cycle()) {
            let chunk = serde_json::json!({
                "id": "chatcmpl-4242", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "fixture",
                "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": null}], "n": index,
            });
            stream.send(Event::new(chunk.to_string())).await?;
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
        stream.send(Event::new("[DONE]")).await?;
        stream.lock().set(false);
        Ok(())
    }))
}

/// A stream as many servers write it: events without name and id, a comment, data of two lines; then the end.
pub(crate) async fn unnamed() -> Response {
    const TEXT: &str = "data: one\n\n: a comment\n\ndata: two\ndata: lines\n\ndata\n\n";
    ([(header::CONTENT_TYPE, "text/event-stream")], TEXT).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Retry {
    /// The reconnection time in milliseconds.
    ms: Option<u64>,
}

/// Three events with a reconnection time (100 ms), then the end; the next connection goes on counting.
pub(crate) async fn retry(State(app): State<App>, Query(retry): Query<Retry>, last: LastEventId) -> Produce {
    let seen: u64 = last.as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
    let stream = produce(move |stream| async move {
        for number in seen + 1..=seen + 3 {
            stream.emit("message", number.to_string())?;
        }
        stream.lock().set(false);
        Ok(())
    });
    app.count(stream.ids_from(seen + 1).retry(Duration::from_millis(retry.ms.unwrap_or(100))))
}

#[derive(Deserialize)]
pub(crate) struct Slow {
    /// Milliseconds before the answer begins.
    head: Option<u64>,
}

/// As [`clock`], but the answer itself takes a while (500 ms).
pub(crate) async fn slow(app: State<App>, Query(slow): Query<Slow>, every: Query<Every>) -> Produce {
    sleep(Duration::from_millis(slow.head.unwrap_or(500))).await;
    clock(app, every).await
}

/// Allows pages of any origin to read the answer, with credentials, and to send the headers they ask for.
pub(crate) async fn cross_origin(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = match *request.method() {
        Method::OPTIONS => {
            Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap_or_default()
        }
        _ => next.run(request).await,
    };
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, Some(HeaderValue::from_static("true"))),
        (header::VARY, Some(HeaderValue::from_static("origin"))),
    ];
    for (name, value) in allowed {
        response.headers_mut().extend(value.map(|value| (name, value)));
    }
    response
}
