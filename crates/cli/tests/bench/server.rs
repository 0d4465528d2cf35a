//! Small server of events that can make faults.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use ssekit_server::{Channel, Event, First, LastEventId, produce};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

/// Fault of the server for the third subscriber, at its sixth event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose,
    Repeat,
    Swap,
    End,
}

/// Server that ends when it is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    /// Starts a correct server: `GET /events`, `GET /all` with its history, `POST /publish`, `POST /lines`.
    pub(crate) fn right() -> Self {
        let channel = Channel::builder().keep_last(100_000).build();
        let router =
            Router::new()
                .route(
                    "/events",
                    get(|State(channel): State<Channel>, last: LastEventId| async move {
                        channel.subscribe(last)
                    }),
                )
                .route("/all", get(all))
                .route("/publish", post(publish))
                .route("/lines", post(lines))
                .route("/page", get(|| async { Html("<p>no stream</p>") }))
                .route("/closed", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "come back later") }))
                .route("/forbidden", post(|| async { (StatusCode::FORBIDDEN, "not you") }))
                .with_state(channel);
        Self::run(router)
    }

    /// Starts a server with one fault.
    pub(crate) fn wrong(fault: Fault) -> Self {
        let (events, _) = broadcast::channel::<String>(100_000);
        let state = Arc::new(Wrong { events, fault, subscribers: AtomicUsize::new(0) });
        let publish = |State(wrong): State<Arc<Wrong>>, data: String| async move {
            wrong.events.send(data).map_or(StatusCode::CONFLICT, |_| StatusCode::OK)
        };
        Self::run(
            Router::new().route("/events", get(mistreat)).route("/publish", post(publish)).with_state(state),
        )
    }

    fn run(router: Router) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let addr = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { addr, _runtime: runtime }
    }
}

async fn all(State(channel): State<Channel>) -> Response {
    channel.first(First::All).subscribe(LastEventId::default()).into_response()
}

async fn publish(State(channel): State<Channel>, data: String) -> Response {
    match channel.emit("message", data) {
        Ok(id) => id.to_string().into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn lines(State(channel): State<Channel>, lines: String) -> Response {
    match channel.emit_batch(lines.lines().map(Event::new)) {
        Ok(id) => id.to_string().into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

struct Wrong {
    events: broadcast::Sender<String>,
    fault: Fault,
    subscribers: AtomicUsize,
}

async fn mistreat(State(wrong): State<Arc<Wrong>>) -> Response {
    let mut events = wrong.events.subscribe();
    let third = wrong.subscribers.fetch_add(1, Ordering::Relaxed) == 2;
    let fault = wrong.fault;
    let stream = produce(move |stream| async move {
        let mut number = 0;
        while let Ok(data) = events.recv().await {
            number += 1;
            match fault {
                _ if !third || number != 6 => stream.send(Event::new(&data)).await?,
                Fault::Lose => {}
                Fault::End => return Err(std::io::Error::other("the end").into()),
                Fault::Repeat => {
                    stream.send(Event::new(&data)).await?;
                    stream.send(Event::new(&data)).await?;
                }
                Fault::Swap => {
                    let next = events.recv().await?;
                    stream.send(Event::new(&next)).await?;
                    stream.send(Event::new(&data)).await?;
                }
            }
        }
        Ok(())
    });
    stream.into_response()
}
