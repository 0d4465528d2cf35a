//! A clock and a chat, on rocket: `cargo run -p ssekit-frameworks --example rocket_app`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `curl -d hello http://127.0.0.1:3001/say`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rocket::fairing::AdHoc;
use rocket::response::status::BadRequest;
use rocket::{Config, State, get, post, routes};
use ssekit::server::InvalidLastEventId;
use ssekit::{Channel, LastEventId, Produce, Streams, produce};
use tokio::time::sleep;

#[get("/clock")]
fn clock() -> Produce {
    produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    })
}

#[get("/events")]
fn events(
    chat: &State<Channel>,
    last: Result<LastEventId, InvalidLastEventId>,
) -> Result<Produce, InvalidLastEventId> {
    last.map(|last| chat.subscribe(last))
}

#[post("/say", data = "<text>")]
fn say(chat: &State<Channel>, text: String) -> Result<String, BadRequest<String>> {
    match chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(BadRequest(error.to_string())),
    }
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let streams = Streams::new();
    let address = std::env::args().nth(1);
    let address: SocketAddr = address.as_deref().unwrap_or("127.0.0.1:3001").parse()?;
    let config = Config { address: address.ip(), port: address.port(), ..Config::release_default() };
    let listening = AdHoc::on_liftoff("listening", |rocket| {
        println!("listening on http://{}:{}/", rocket.config().address, rocket.config().port);
        Box::pin(async {})
    });
    let rocket = rocket::custom(config).manage(Channel::new()).mount("/", routes![clock, events, say]);
    // Every stream ends when it shuts down.
    rocket.attach(listening).attach(streams.clone()).launch().await?;
    streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
