//! Publishes an update from Rust with ureq, and prints its id.
//!
//! ```sh
//! export SSEKIT_TOKEN=$(ssekit token make --key-file key --publish '*')
//! cargo run --example publish -- https://example.com/news 'hello, world'
//! cargo run --example publish -- https://example.com/news 'for some alone' --private
//! ```
//!
//! `HUB` says where the hub is, unless on this machine.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [topic, data, rest @ ..] = arguments.as_slice() else {
        bail!("usage: publish TOPIC DATA [--private]")
    };
    let token = env::var("SSEKIT_TOKEN").context("SSEKIT_TOKEN: make one with `ssekit token make`")?;
    let hub = env::var("HUB").unwrap_or_else(|_| "http://127.0.0.1:3000/.well-known/mercure".to_owned());

    let mut form = vec![("topic", topic.as_str()), ("data", data)];
    if rest.iter().any(|flag| flag == "--private") {
        form.push(("private", "on"));
    }
    let mut answer = ureq::post(&hub)
        .config()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false) // a refusal says why
        .build()
        .header("authorization", format!("Bearer {token}"))
        .send_form(form)?;
    let text = answer.body_mut().read_to_string()?;
    if answer.status() != 200 {
        bail!("{}: {text}", answer.status());
    }
    println!("{text}");
    Ok(())
}
