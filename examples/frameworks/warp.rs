//! A clock and a chat, on warp: `cargo run -p ssekit-frameworks --example warp_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};
use warp::http::StatusCode;
use warp::hyper::body::Bytes;
use warp::{Filter, body, get, path, post, reply};

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

fn say(app: &App, text: &[u8]) -> reply::WithStatus<String> {
    match app.chat.emit("said", String::from_utf8_lossy(text)) {
        Ok(id) => reply::with_status(id.to_string(), StatusCode::OK),
        Err(error) => reply::with_status(error.to_string(), StatusCode::BAD_REQUEST),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = App::default();
    let state = {
        let app = app.clone();
        warp::any().map(move || app.clone())
    };
    let routes = path!("clock").and(get()).and(state.clone()).map(|app: App| clock(&app));
    let routes = routes.or(path!("events")
        .and(get())
        .and(state.clone())
        .and(LastEventId::filter())
        .map(|app: App, last: Result<LastEventId, _>| last.map(|last| events(&app, last))));
    let text = body::content_length_limit(16 << 10).and(body::bytes());
    let routes = routes.or(path!("say")
        .and(post())
        .and(state)
        .and(text)
        .map(|app: App, text: Bytes| say(&app, &text)));
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let streams = app.streams.clone();
    let shutdown = async move {
        let _ = ctrl_c().await;
        streams.shutdown(); // no stream ends by itself
    };
    warp::serve(routes).incoming(listener).graceful(shutdown).run().await;
    app.streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
