//! A clock and a chat, on salvo: `cargo run -p ssekit-frameworks --example salvo_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::time::{Duration, SystemTime};

use salvo::affix_state;
use salvo::conn::tcp::TcpAcceptor;
use salvo::prelude::{Depot, Request, Router, Server, StatusError, Writer, handler};
use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::{net::TcpListener, signal::ctrl_c, time::sleep};

fn chat(depot: &Depot) -> &Channel {
    depot.get_typed().expect("every route has the channel")
}

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
async fn events(depot: &mut Depot, last: LastEventId) -> Produce {
    chat(depot).subscribe(last)
}

#[handler]
async fn say(request: &mut Request, depot: &mut Depot) -> Result<String, StatusError> {
    let text =
        request.payload().await.map_err(|error| StatusError::bad_request().brief(error.to_string()))?;
    match chat(depot).emit("said", String::from_utf8_lossy(text)) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(StatusError::bad_request().brief(error.to_string())),
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let streams = Streams::new();
    let routes = Router::new()
        .hoop(streams.clone()) // every stream of these routes
        .hoop(affix_state::inject(Channel::new()))
        .push(Router::with_path("clock").get(clock))
        .push(Router::with_path("events").get(events))
        .push(Router::with_path("say").post(say));
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let server = Server::new(TcpAcceptor::try_from(listener)?);
    let (shutdown, handle) = (streams.shutdown_on(ctrl_c()), server.handle());
    tokio::spawn(async move {
        shutdown.await; // no stream ends by itself
        handle.stop_graceful(Duration::from_secs(5));
    });
    server.try_serve(routes).await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
