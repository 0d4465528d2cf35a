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

#[derive(Clone, Default)]
struct App {
    chat: Channel,
    streams: Streams,
}

#[get("/clock")]
fn clock(app: &State<App>) -> Produce {
    let ticking = produce(|stream| async move {
        loop {
            stream.emit("time", format!("{:?}", SystemTime::now()))?; // an error once the client is gone
            sleep(Duration::from_secs(1)).await;
        }
    });
    ticking.within(&app.streams)
}

#[get("/events")]
fn events(
    app: &State<App>,
    last: Result<LastEventId, InvalidLastEventId>,
) -> Result<Produce, InvalidLastEventId> {
    Ok(app.chat.subscribe(last?).within(&app.streams))
}

#[post("/say", data = "<text>")]
fn say(app: &State<App>, text: String) -> Result<String, BadRequest<String>> {
    match app.chat.emit("said", text) {
        Ok(id) => Ok(id.to_string()),
        Err(error) => Err(BadRequest(error.to_string())),
    }
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::default();
    let address = std::env::args().nth(1);
    let address: SocketAddr = address.as_deref().unwrap_or("127.0.0.1:3001").parse()?;
    let config = Config { address: address.ip(), port: address.port(), ..Config::release_default() };
    let listening = AdHoc::on_liftoff("listening", |rocket| {
        println!("listening on http://{}:{}/", rocket.config().address, rocket.config().port);
        Box::pin(async {})
    });
    let streams = app.streams.clone();
    let shutdown = AdHoc::on_shutdown("streams", move |_| {
        streams.shutdown(); // no stream ends by itself
        Box::pin(async {})
    });
    let rocket = rocket::custom(config).manage(app.clone()).mount("/", routes![clock, events, say]);
    rocket.attach(listening).attach(shutdown).launch().await?;
    app.streams.ended().await;
    println!("every stream has ended");
    Ok(())
}
