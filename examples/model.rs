//! Reads the answer of a language model: one POST, until `[DONE]`, with a token that is renewed once after
//! 401. `cargo run --example model`. A server in the same program stands in for the model and its tokens.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;

use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit::{Event, Source, produce, source};
use tokio::net::TcpListener;

/// The fields of each event that this program reads.
#[derive(Deserialize)]
struct Chunk {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: String,
}

/// The request, which is made once: a model answers a repeated prompt a second time, and charges for it.
fn ask(api: &str, token: &str, prompt: &str) -> Source {
    let messages = json!([{ "role": "user", "content": prompt }]);
    source(format!("{api}/v1/chat/completions"))
        .bearer(token)
        .json(&json!({ "model": "example", "stream": true, "messages": messages }))
        .once()
}

/// Opens the answer. A request that was refused with 401 was not processed, so that it may be sent again.
async fn open(api: &str, prompt: &str) -> Result<Source, Box<dyn Error>> {
    let answer = ask(api, "expired", prompt);
    let Err(refused) = answer.open().await else { return Ok(answer) };
    if refused.error().and_then(|error| error.status()) != Some(StatusCode::UNAUTHORIZED) {
        return Err(refused.into());
    }
    println!("renewing the token: {refused}");
    let answer = ask(api, &fresh_token().await?, prompt);
    answer.open().await?;
    Ok(answer)
}

/// Asks whoever issues tokens for a new one.
async fn fresh_token() -> Result<String, Box<dyn Error>> {
    Ok("fresh".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let api = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/chat/completions", post(completions));
    tokio::spawn(async move { axum::serve(listener, router).await });

    // An answer that ends without `[DONE]` is an error, and so is one that is cut.
    let mut chunks = open(&api, "world").await?.select("message").until("[DONE]").json::<Chunk>();
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        chunk?.choices.iter().for_each(|choice| text.push_str(&choice.delta.content));
    }
    println!("{text}");
    Ok(())
}

/// The server's side: greets the prompt, word by word.
async fn completions(headers: HeaderMap, Json(request): Json<Value>) -> Response {
    if headers.get(AUTHORIZATION).is_none_or(|token| token != "Bearer fresh") {
        return (StatusCode::UNAUTHORIZED, "the token has expired").into_response();
    }
    let name = request["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    let stream = produce(move |stream| async move {
        stream.send(Event::json(&json!({ "choices": [{ "delta": { "role": "assistant" } }] }))?).await?;
        for word in ["Hello", ", ", &name, "!"] {
            let chunk = json!({ "choices": [{ "delta": { "content": word } }] });
            stream.send(Event::json(&chunk)?).await?;
        }
        stream.emit("message", "[DONE]")?;
        Ok(())
    });
    stream.into_response()
}
