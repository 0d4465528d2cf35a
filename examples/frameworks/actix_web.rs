//! A clock and a chat, on actix-web: `cargo run -p ssekit-frameworks --example actix_web_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::any::Any;
use std::time::{Duration, SystemTime};

use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, get, post};
use actix_web::{App, HttpServer, error::ErrorBadRequest};
use ssekit::{Channel, LastEventId, Produce, Streams, produce, watch_peer};
use tokio::{signal::ctrl_c, time::sleep};

async fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

async fn events(chat: Data<Channel>, last: LastEventId) -> Produce {
    chat.subscribe(last)
}

async fn say(chat: Data<Channel>, text: String) -> actix_web::Result<String> {
    match chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(ErrorBadRequest(error)),
    }
}

/// actix-web hides clients that do not read; this ends their connections.
fn watch(socket: &dyn Any) {
    if let Some(Err(error)) =
        socket.downcast_ref::<TcpStream>().map(|socket| watch_peer(socket, Duration::from_secs(30)))
    {
        println!("a client that does not read will be noticed late: {error}");
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::new();
    let (chat, all) = (Data::new(Channel::new()), streams.clone());
    let routes = move || {
        App::new()
            .wrap(all.clone()) // every stream of these routes
            .app_data(chat.clone())
            .route("/clock", get().to(clock))
            .route("/events", get().to(events))
            .route("/say", post().to(say))
    };
    let address = std::env::args().nth(1);
    let shutdown = streams.shutdown_on(ctrl_c()); // no stream ends by itself
    let server = HttpServer::new(routes)
        .h1_allow_half_closed(false) // notices at once that a client is gone
        .on_connect(|socket, _| watch(socket))
        .shutdown_signal(shutdown)
        .bind(address.as_deref().unwrap_or("127.0.0.1:3001"))?;
    println!("listening on http://{}/", server.addrs()[0]);
    server.run().await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
