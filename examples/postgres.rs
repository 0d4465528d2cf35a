//! Notifications of PostgreSQL as events, here those of the channel `orders`.
//! `DATABASE_URL=postgres://me@localhost/shop cargo run --example postgres 127.0.0.1:3001 orders`, then
//! `curl -N http://127.0.0.1:3001/events` and, beside it, `psql shop -c "NOTIFY orders, 'paid'"`.
//!
//! PostgreSQL keeps nothing for clients that are not connected, and drops unsent notifications when it is
//! stopped. So each reconnect emits an event named `reconnected`. Pages load their state anew then, as they
//! do at a `reset`.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program for a terminal")]

use std::{env, future::poll_fn, time::Duration};

use anyhow::{Context as _, Result};
use axum::{Router, extract::State, routing::get};
use ssekit::{Channel, Event, LastEventId, Produce};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Notification, Socket};

async fn events(State(news): State<Channel>, last: LastEventId) -> Produce {
    news.subscribe(last)
}

/// A connection that listens. It does so until its client is dropped.
struct Listening {
    connection: Connection<Socket, NoTlsStream>,
    early: Option<Notification>,
    _client: Client,
}

impl Listening {
    async fn new(database: &Config, sql: &str) -> Result<Self> {
        let (client, mut connection) = database.connect(NoTls).await?;
        let early = tokio::select! {
            answer = client.batch_execute(sql) => answer.map(|()| None)?,
            // A notification says so too, should one overtake the answer.
            notification = receive(&mut connection) => Some(notification?),
        };
        Ok(Self { connection, early, _client: client })
    }

    async fn next(&mut self) -> Result<Notification> {
        match self.early.take() {
            Some(notification) => Ok(notification),
            None => receive(&mut self.connection).await,
        }
    }
}

/// The next notification. When the connection breaks, those that had arrived come before the error.
async fn receive(connection: &mut Connection<Socket, NoTlsStream>) -> Result<Notification> {
    loop {
        let message = poll_fn(|cx| connection.poll_message(cx)).await;
        if let AsyncMessage::Notification(notification) = message.context("the connection was closed")?? {
            return Ok(notification);
        }
    }
}

/// Tries until it listens. The delays are random, so that not all clients of a database return at once.
async fn reconnect(database: &Config, sql: &str) -> Listening {
    let mut longest = Duration::from_millis(200);
    loop {
        sleep(longest.mul_f64(fastrand::f64())).await;
        let attempt = timeout(Duration::from_secs(10), Listening::new(database, sql)).await;
        match attempt.context("no answer in 10 s").flatten() {
            Ok(listening) => return listening,
            Err(error) => eprintln!("cannot listen to the database, trying again: {error:#}"),
        }
        longest = (longest * 2).min(Duration::from_secs(5));
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3001".into());
    let listen = arguments.map(|name| format!("LISTEN \"{}\";", name.replace('"', "\"\"")));
    let sql = listen.reduce(|all, one| all + &one).context("usage: postgres ADDRESS CHANNEL...")?;
    let mut database: Config =
        env::var("DATABASE_URL").context("DATABASE_URL is to say where the database is")?.parse()?;
    // A database that vanished without a word is missed within a minute.
    database.keepalives_idle(Duration::from_secs(30)).keepalives_interval(Duration::from_secs(10));
    database.keepalives_retries(3);

    let socket = TcpListener::bind(address).await?;
    let url = format!("http://{}/events", socket.local_addr()?);
    let news = Channel::builder().keep_last(10_000).build();
    let app = Router::new().route("/events", get(events)).with_state(news.clone());
    // No page is answered before it listens, so that none misses anything from its first moment on.
    let mut listening = reconnect(&database, &sql).await;
    tokio::spawn(axum::serve(socket, app).into_future());
    loop {
        println!("listening on {url}");
        let lost = loop {
            match listening.next().await {
                Ok(note) => news.send(Event::new(note.payload()).with_event(note.channel())?).await?,
                Err(lost) => break lost,
            };
        };
        eprintln!("lost the database: {lost:#}");
        listening = reconnect(&database, &sql).await;
        news.send(Event::new("").with_event("reconnected")?).await?;
    }
}
