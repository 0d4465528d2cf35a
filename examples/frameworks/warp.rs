//! A clock and a chat, on warp: `cargo run -p ssekit-frameworks --example warp_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};
use warp::http::StatusCode;
use warp::hyper::body::Bytes;
use warp::{Filter, body, get, path, post, reply};

fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

fn say(chat: &Channel, text: &[u8]) -> reply::WithStatus<String> {
    match chat.emit("said", String::from_utf8_lossy(text)) {
        Ok(id) => reply::with_status(id.to_string(), StatusCode::OK),
        Err(error) => reply::with_status(error.to_string(), StatusCode::BAD_REQUEST),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (chat, streams) = (Channel::new(), Streams::new());
    let chat = warp::any().map(move || chat.clone());
    let routes = path!("clock").and(get()).map(clock);
    let routes = routes.or(path!("events")
        .and(get())
        .and(chat.clone())
        .and(LastEventId::filter())
        .map(|chat: Channel, last: Result<LastEventId, _>| last.map(|last| chat.subscribe(last))));
    let text = body::content_length_limit(16 << 10).and(body::bytes());
    let routes = routes.or(path!("say")
        .and(post())
        .and(chat)
        .and(text)
        .map(|chat: Channel, text: Bytes| say(&chat, &text)));
    let routes = streams.around(routes); // every stream of these routes
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let shutdown = streams.shutdown_on(ctrl_c()); // no stream ends by itself
    warp::serve(routes).incoming(listener).graceful(shutdown).run().await;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
