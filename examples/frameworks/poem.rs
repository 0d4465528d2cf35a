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

#[handler]
async fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

#[handler]
async fn events(Data(chat): Data<&Channel>, last: LastEventId) -> Produce {
    chat.subscribe(last)
}

#[handler]
async fn say(Data(chat): Data<&Channel>, text: String) -> poem::Result<String> {
    match chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(BadRequest(error)),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::new();
    let routes = Route::new()
        .at("/clock", get(clock))
        .at("/events", get(events))
        .at("/say", post(say).with(SizeLimit::new(16 << 10)))
        .with(streams.clone()) // every stream of these routes
        .data(Channel::new());
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let shutdown = streams.shutdown_on(ctrl_c()); // no stream ends by itself
    let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
    server.run_with_graceful_shutdown(routes, shutdown, Some(Duration::from_secs(5))).await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
