//! A stream that goes on where a client left off. `cargo run --example resume`, then
//! `curl -N http://127.0.0.1:3001/chapters`, again with `-H 'Last-Event-ID: 2'`, and with 4.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use axum::{Router, routing::get};
use ssekit::{Event, LastEventId, Produce, produce};
use tokio::net::TcpListener;

const CHAPTERS: [&str; 4] =
    ["Down the Rabbit-Hole", "The Pool of Tears", "A Caucus-Race", "The Rabbit Sends in a Bill"];

async fn chapters(last: LastEventId) -> Produce {
    let read = last.as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
    if read >= CHAPTERS.len() {
        return Produce::no_content(); // or a browser would ask again for ever
    }
    produce(move |stream| async move {
        for (number, title) in (1..).zip(CHAPTERS).skip(read) {
            stream.send(Event::new(title).with_event("chapter")?.with_id(number.to_string())?).await?;
        }
        stream.close();
        Ok(())
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/chapters", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/chapters", get(chapters))).await
}
