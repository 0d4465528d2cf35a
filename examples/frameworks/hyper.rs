//! A clock and a chat, on hyper: `cargo run -p ssekit-frameworks --example hyper_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use ssekit::{Channel, LastEventId, Produce, SseBody, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

#[derive(Clone, Default)]
struct App {
    chat: Channel,
    streams: Streams,
}

fn clock(app: &App) -> Produce {
    let ticking = produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    });
    ticking.within(&app.streams)
}

fn events(app: &App, last: LastEventId) -> Produce {
    app.chat.subscribe(last).within(&app.streams)
}

fn say(app: &App, text: &str) -> (StatusCode, String) {
    match app.chat.emit("said", text) {
        Ok(id) => (StatusCode::OK, id.to_string()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn answer(app: &App, request: Request<Incoming>) -> Response<Either<SseBody, Full<Bytes>>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/clock") => return clock(app).response().map(Either::Left),
        (&Method::GET, "/events") => match LastEventId::from_request(&request) {
            Ok(last) => return events(app, last).response().map(Either::Left),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        },
        (&Method::POST, "/say") => match Limited::new(request.into_body(), 16 << 10).collect().await {
            Ok(text) => say(app, &String::from_utf8_lossy(&text.to_bytes())),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    response
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = App::default();
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let connections = GracefulShutdown::new();
    loop {
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = ctrl_c() => break,
        };
        let app = app.clone();
        let service = service_fn(move |request| {
            let app = app.clone();
            async move { Ok::<_, Infallible>(answer(&app, request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(connections.watch(connection));
    }
    app.streams.shutdown(); // no stream ends by itself
    connections.shutdown().await;
    app.streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
