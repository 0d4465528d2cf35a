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

fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

fn say(chat: &Channel, text: &str) -> (StatusCode, String) {
    match chat.emit("said", text) {
        Ok(id) => (StatusCode::OK, id.to_string()),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn answer(chat: &Channel, request: Request<Incoming>) -> Response<Either<SseBody, Full<Bytes>>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/clock") => return clock().response().map(Either::Left),
        (&Method::GET, "/events") => match LastEventId::from_request(&request) {
            Ok(last) => return chat.subscribe(last).response().map(Either::Left),
            Err(error) => (StatusCode::BAD_REQUEST, error.to_string()),
        },
        (&Method::POST, "/say") => match Limited::new(request.into_body(), 16 << 10).collect().await {
            Ok(text) => say(chat, &String::from_utf8_lossy(&text.to_bytes())),
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
    let (chat, streams) = (Channel::new(), Streams::new());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let connections = GracefulShutdown::new();
    loop {
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = ctrl_c() => break,
        };
        let (chat, streams) = (chat.clone(), streams.clone());
        let service = service_fn(move |request| {
            let chat = chat.clone();
            // Every stream of this service.
            streams.scope(async move { Ok::<_, Infallible>(answer(&chat, request).await) })
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(connections.watch(connection));
    }
    streams.shutdown(); // no stream ends by itself
    connections.shutdown().await;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
