//! The hub inside a program that serves its routes with axum.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use prometheus_client::registry::Registry;
use ssekit_hub::http;
use ssekit_hub::hub::{self, Announced, Hub};
use ssekit_log::{Keep, MemoryLog, Retention};
use ssekit_mercure::Access;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Connection, Framing, Request};
use crate::setup::{keys, token, within};

/// A program with a page of its own and a hub at `/updates`.
struct Program {
    addr: SocketAddr,
    hub: Arc<Hub>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Program {
    async fn start() -> Self {
        let access = Access { publishers: keys(), subscribers: keys(), anonymous: true, ..Access::default() };
        let options = hub::Options {
            access,
            path: "/updates".to_owned(),
            subscriptions: Announced::WithToken,
            ..hub::Options::default()
        };
        let mut registry = Registry::with_prefix("ssekit");
        let log = MemoryLog::new(Retention::of_everything(Keep::ALL).unwrap()).unwrap();
        let hub = Hub::start(Arc::new(log), options, &mut registry).await.unwrap();
        let routes = http::router(Arc::clone(&hub), &http::Options::default(), &mut registry);
        let app = Router::new().route("/", get(|| async { "the program's page" })).merge(routes);
        let app = app.fallback(|| async { "the program's fallback" });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let ending = Arc::clone(&hub);
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            axum::serve(listener, app)
                .with_graceful_shutdown(async move {
                    let _ = stopped.await;
                    ending.end(Duration::ZERO).await;
                })
                .await
        });
        Self { addr, hub, stop, serving }
    }

    async fn publish(&self, form: &str) -> String {
        let request = Request::post("/updates", form).bearer(&token(&["*"], &[]));
        let answer = Connection::open(self.addr).await.ask(&request).await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    }

    async fn subscribe(&self, request: &Request) -> (Connection, Framing) {
        let mut connection = Connection::open(self.addr).await;
        connection.send(&request.encode()).await;
        let head = connection.head().await.expect("a head");
        assert_eq!(head.status, 200);
        let framing = head.framing();
        (connection, framing)
    }
}

/// Reads a stream until it has this text.
async fn read_until((connection, framing): &mut (Connection, Framing), wanted: &str) -> String {
    let mut text = String::new();
    within(wanted, async {
        while !text.contains(wanted) {
            let piece =
                connection.piece(framing).await.unwrap_or_else(|| panic!("no {wanted:?} in {text:?}"));
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    })
    .await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_serves_the_hub_beside_its_own_routes() {
    let program = Program::start().await;
    let mut live = program.subscribe(&Request::get("/updates?topic=news")).await;
    let first = program.publish("topic=news&data=one").await;
    assert!(read_until(&mut live, "data: one").await.contains(&first), "the event has the id of the answer");
    program.publish("topic=other&data=hidden").await;
    program.publish("topic=news&data=two").await;
    assert!(!read_until(&mut live, "data: two").await.contains("hidden"));

    // A replay, and then live updates, on one stream.
    let resumed = Request::get("/updates?topic=news").with("last-event-id", &first);
    let mut resumed = program.subscribe(&resumed).await;
    assert!(!read_until(&mut resumed, "data: two").await.contains("data: one"));
    program.publish("topic=news&data=three").await;
    for stream in [&mut live, &mut resumed] {
        read_until(stream, "data: three").await;
    }

    // Private updates need a token, and so does the subscription API.
    let mut reader =
        program.subscribe(&Request::get("/updates?topic=mine").bearer(&token(&[], &["mine"]))).await;
    let mut anonymous = program.subscribe(&Request::get("/updates?topic=mine")).await;
    program.publish("topic=mine&data=secret&private=on").await;
    program.publish("topic=mine&data=public").await;
    read_until(&mut reader, "data: secret").await;
    assert!(!read_until(&mut anonymous, "data: public").await.contains("secret"));
    let ask = async |request: Request| Connection::open(program.addr).await.ask(&request).await;
    let listed = ask(Request::get("/updates/subscriptions").bearer(&token(&[], &["*"]))).await;
    assert!(listed.status == 200 && listed.body.contains("mine"), "{}", listed.body);
    assert_eq!(ask(Request::post("/updates", "topic=a&data=b")).await.status, 401);

    for (path, body) in [("/", "the program's page"), ("/elsewhere", "the program's fallback")] {
        assert_eq!(ask(Request::get(path)).await.body, body);
    }

    program.stop.send(()).unwrap();
    within("the program ends", program.serving).await.unwrap().unwrap();
    assert!(program.hub.is_ending());
    // Each stream ends with a reconnection time, and completely.
    let text = read_until(&mut live, "retry: ").await;
    assert!(!text.contains("data: "), "{text}");
    assert!(live.0.piece(&mut live.1).await.is_none() && !live.0.cut);
}
