//! A clock and a chat, on poem: `cargo run -p ssekit-frameworks --example poem_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use poem::error::BadRequest;
use poem::listener::TcpAcceptor;
use poem::middleware::SizeLimit;
use poem::web::Data;
use poem::{EndpointExt, Route, Server, get, handler, post};
use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

#[derive(Clone, Default)]
struct App {
    chat: Channel,
    streams: Streams,
}

#[handler]
async fn clock(Data(app): Data<&App>) -> Produce {
    let ticking = produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    });
    ticking.within(&app.streams)
}

#[handler]
async fn events(Data(app): Data<&App>, last: LastEventId) -> Produce {
    app.chat.subscribe(last).within(&app.streams)
}

#[handler]
async fn say(Data(app): Data<&App>, text: String) -> poem::Result<String> {
    match app.chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(BadRequest(error)),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = App::default();
    let routes = Route::new()
        .at("/clock", get(clock))
        .at("/events", get(events))
        .at("/say", post(say).with(SizeLimit::new(16 << 10)))
        .data(app.clone());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let streams = app.streams.clone();
    let shutdown = async move {
        let _ = ctrl_c().await;
        streams.shutdown(); // no stream ends by itself
    };
    let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
    server.run_with_graceful_shutdown(routes, shutdown, Some(Duration::from_secs(5))).await?;
    app.streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
