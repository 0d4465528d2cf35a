//! Streams that the server crate compresses, in a browser: it must read each event at once, also where each
//! piece was compressed separately.

use axum::Router;
use axum::extract::Path;
use axum::response::Html;
use axum::routing::get;
use ssekit_server::{Channel, LastEventId, Streams, produce};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::chromium::{Chromium, DESKTOP};

#[test]
fn a_browser_reads_each_event_of_a_compressed_stream_at_once() {
    let runtime = Runtime::new().unwrap();
    let (channel, streams) = (Channel::new(), Streams::new());
    let (shared, own) = (channel.clone(), channel.clone());
    let (these, those) = (streams.clone(), streams.clone());
    let router = Router::new()
        .route(
            "/",
            get(|| async { Html("<!doctype html><title>compressed</title><link rel=icon href=data:,>") }),
        )
        .route(
            "/shared/{encoding}",
            get(async move |Path(encoding): Path<String>, last: LastEventId| {
                shared.subscribe(last).compress(encoding).within(&these)
            }),
        )
        .route(
            "/own/{encoding}",
            get(async move |Path(encoding): Path<String>, last: LastEventId| {
                produce(drop).follow(own.filter(|_| true), last).compress(encoding).within(&those)
            }),
        );
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await });

    let mut browser = Chromium::start();
    let mut pages = Vec::new();
    // One page per encoding: a browser has six connections to a host.
    for encoding in ["gzip", "br", "zstd"] {
        let page = browser.open(&format!("http://{address}/"), DESKTOP);
        let listen = "window.seen = {}; for (const way of ['shared', 'own']) {
            window.seen[way] = [];
            new EventSource(`/${way}/ENCODING`).onmessage = event => window.seen[way].push(event.data);
        }";
        browser.evaluate(&page, &listen.replace("ENCODING", encoding));
        pages.push((encoding, page));
    }
    while streams.len() < 2 * pages.len() {
        std::thread::yield_now();
    }
    let mut expected = Vec::new();
    for n in 0..30 {
        let text = format!("{n} {}", "Once upon a time, … ".repeat(n * n));
        channel.emit("", &text).unwrap();
        expected.push(text);
        // It has this event before there is another.
        let expected = serde_json::to_string(&expected).unwrap();
        for (encoding, page) in &pages {
            for way in ["shared", "own"] {
                let all = format!(
                    "JSON.stringify(window.seen.{way}) === JSON.stringify({expected}) && '{encoding}'"
                );
                browser.wait_for(page, &all);
            }
        }
    }
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}
