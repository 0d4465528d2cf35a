//! Without a framework: `cargo run --example with_hyper`, then `curl -N http://127.0.0.1:3001/count`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::convert::Infallible;
use std::time::Duration;

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ssekit::{Event, produce};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3001")).await?;
    println!("listening on http://{}/count", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let service = service_fn(|_: Request<Incoming>| async {
            let counting = produce(|stream| async move {
                for n in 1..=10 {
                    stream.send(Event::new(n.to_string()).with_event("count")?).await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                stream.close(); // ends the stream after its events
                Ok(())
            });
            Ok::<_, Infallible>(counting.response())
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}
