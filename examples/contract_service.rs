//! Wraps our client for the public contract tests of SSE clients (launchdarkly/sse-contract-tests):
//!
//! ```sh
//! PORT=8000 cargo run --example contract_service
//! sse-contract-tests -url http://127.0.0.1:8000
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit::{Latest, Message, Reconnect, Source, source};
use tokio::sync::{Notify, mpsc};

#[derive(Clone, Default)]
struct Service {
    streams: Arc<Mutex<HashMap<usize, Stream>>>,
    next: Arc<AtomicUsize>,
    quit: Arc<Notify>,
}

/// One client under test. Dropping it ends the client.
struct Stream {
    connection: Source,
    listening: Vec<Latest<Message>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    stream_url: String,
    callback_url: String,
    initial_delay_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    last_event_id: Option<String>,
    headers: Option<HashMap<String, String>>,
    method: Option<String>,
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
enum Command {
    Restart,
    Listen { listen: Listen },
}

#[derive(Deserialize)]
struct Listen {
    r#type: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT").map_or(Ok(8000), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let service = Service::default();
    let quit = Arc::clone(&service.quit);
    let routes = Router::new()
        .route("/", get(capabilities).post(create).delete(quit_service))
        .route("/streams/{number}", post(command).delete(delete_stream))
        .with_state(service);
    axum::serve(listener, routes).with_graceful_shutdown(async move { quit.notified().await }).await?;
    Ok(())
}

async fn capabilities() -> Json<Value> {
    Json(json!({ "capabilities": [
        "bom", "comments", "headers", "last-event-id", "post", "report", "read-timeout", "restart",
        "event-type-listeners", "server-directed-shutdown-request",
    ] }))
}

async fn create(
    State(service): State<Service>,
    parameters: String,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let bad = |error: &dyn std::error::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let parameters: Parameters = serde_json::from_str(&parameters).map_err(|error| bad(&error))?;
    // Without a bound, because nothing may be left out and a callback cannot wait.
    let (reports, queue) = mpsc::unbounded_channel();
    let connection = client(&parameters, &reports);
    connection.check().map_err(|error| bad(&error))?;
    tokio::spawn(deliver(queue, parameters.callback_url));
    connection.connect();

    let number = service.next.fetch_add(1, Ordering::Relaxed);
    service.streams.lock().unwrap().insert(number, Stream { connection, listening: Vec::new() });
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/streams/{number}"))]))
}

/// A client that reports everything it sees.
fn client(parameters: &Parameters, reports: &mpsc::UnboundedSender<Value>) -> Source {
    let [messages, comments, errors] = [reports.clone(), reports.clone(), reports.clone()];
    let mut reconnect = Reconnect::resilient().without_jitter();
    if let Some(delay) = parameters.initial_delay_ms {
        reconnect = reconnect.delay(Duration::from_millis(delay));
    }
    let mut connection = source(&parameters.stream_url)
        .share(false)
        .reconnect(reconnect)
        .on_message(move |message| {
            let event =
                json!({ "type": message.event(), "data": message.data(), "id": message.last_event_id() });
            let _ = messages.send(json!({ "kind": "event", "event": event }));
        })
        .on_comment(move |comment| drop(comments.send(json!({ "kind": "comment", "comment": comment }))))
        .on_error(move |error| {
            // The harness knows no report of an incomplete event: the standard drops it.
            if matches!(error, ssekit::client::Error::IncompleteEvent) {
                return;
            }
            let text = error.to_string();
            let _ = errors.send(json!({ "kind": "error", "error": text, "comment": text }));
        });
    for (name, value) in parameters.headers.iter().flatten() {
        connection = connection.header(name, value);
    }
    if let Some(timeout) = parameters.read_timeout_ms {
        connection = connection.read_timeout(Duration::from_millis(timeout));
    }
    if let Some(id) = &parameters.last_event_id {
        connection = connection.resume_after(id);
    }
    if let Some(method) = &parameters.method {
        connection = connection.method(method);
    }
    if let Some(body) = &parameters.body {
        connection = connection.body(body.clone());
    }
    connection
}

/// Posts the reports in their order.
async fn deliver(mut queue: mpsc::UnboundedReceiver<Value>, callback_url: String) {
    let http = Client::builder(TokioExecutor::new()).build_http::<String>();
    let mut number = 0;
    while let Some(report) = queue.recv().await {
        number += 1;
        let url = format!("{callback_url}/{number}");
        let request = Request::post(&url).header("content-type", "application/json").body(report.to_string());
        let sent = match request {
            Ok(request) => http.request(request).await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            eprintln!("cannot report to {url}: {error}");
        }
    }
}

async fn command(
    State(service): State<Service>,
    Path(number): Path<usize>,
    command: String,
) -> Result<StatusCode, (StatusCode, String)> {
    let command =
        serde_json::from_str(&command).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut streams = service.streams.lock().unwrap();
    let Some(stream) = streams.get_mut(&number) else { return Err((StatusCode::NOT_FOUND, String::new())) };
    match command {
        Command::Restart => stream.connection.restart(),
        // `on_message` reports events of all types, so that being ready for one is all there is to do.
        Command::Listen { listen } => stream.listening.push(stream.connection.select(listen.r#type).latest()),
    }
    Ok(StatusCode::OK)
}

async fn delete_stream(State(service): State<Service>, Path(number): Path<usize>) -> StatusCode {
    match service.streams.lock().unwrap().remove(&number) {
        Some(stream) => {
            stream.connection.close();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn quit_service(State(service): State<Service>) -> StatusCode {
    service.quit.notify_one();
    StatusCode::NO_CONTENT
}
