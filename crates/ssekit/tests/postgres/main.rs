//! `examples/postgres.rs`, before a real PostgreSQL server that is restarted and killed.

#![cfg(unix)]

mod forwarder;
mod page;
mod proxy;
mod server;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forwarder::Forwarder;
use page::{Page, Seen};
use server::Server;
use writer::{Writer, connect};

const PATIENCE: Duration = Duration::from_secs(30);
const WRITERS: usize = 4;
/// The second needs quotes in SQL.
const CHANNELS: [&str; 2] = ["orders", r#"Chat "7""#];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_notifications_arrive_and_a_possible_loss_is_reported() {
    let server = Arc::new(Server::new("restarts"));
    let mut forwarder = Forwarder::start(&server.url(), &CHANNELS);
    let error = forwarder.error().await;
    assert!(error.starts_with("cannot listen to the database"), "{error}");
    blocking(&server, Server::start).await;
    let url = forwarder.listening().await;

    let mut pages = [Page::open(&url, None).await, Page::open(&url, None).await];
    let mut leaving = Page::open(&url, None).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(Writer::new(number, &server.url()).await);
    }

    // Several connections at once, as fast as they can.
    writers = together(writers, |mut writer| async move {
        for _ in 0..50 {
            writer.commit().await;
        }
        writer
    })
    .await;
    mark(&server, "all sent").await;
    for page in &mut pages {
        page.until("all sent").await;
    }
    let before = pages[0].seen();
    assert_nothing_is_missing(&before, &writers);
    let committed: usize = writers.iter().map(|writer| writer.committed().len()).sum();
    assert_eq!(before.len(), committed + 1, "nothing but what was committed, and the mark");
    assert!(committed >= 300, "{committed}");

    leaving.until("all sent").await;
    let last = leaving.seen().pop().expect("it has seen the mark").id;
    drop(leaving);

    // They go on while the server is restarted, then while it crashes.
    for (restart, mode) in ["fast", "immediate"].into_iter().enumerate() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let writing = tokio::spawn(together(writers, move |mut writer| {
            let stop = Arc::clone(&stopping);
            async move {
                while !stop.load(Ordering::Relaxed) {
                    writer.pause().await;
                    writer.commit().await;
                }
                writer
            }
        }));
        blocking(&server, move |server| server.restart(mode)).await;
        assert_eq!(forwarder.listening().await, url);
        pages[0].until_reconnected(restart + 1).await;
        stop.store(true, Ordering::Relaxed);
        writers = writing.await.expect("the writers go on");
        writers = together(writers, |mut writer| async move {
            for _ in 0..10 {
                writer.commit().await;
            }
            writer
        })
        .await;
        mark(&server, mode).await;
        for page in &mut pages {
            page.until(mode).await;
        }
        assert_nothing_is_missing(&pages[0].seen(), &writers);
    }

    let all = pages[0].seen();
    assert_eq!(all.iter().filter(|seen| seen.event == "reconnected").count(), 2);
    assert_eq!(pages[1].seen(), all);
    for pair in all.windows(2) {
        let [(epoch, before), (same, after)] = [&pair[0], &pair[1]].map(Seen::position);
        assert_eq!((same, after), (epoch, before + 1));
    }
    // A page that left before the restarts returns.
    let mut returned = Page::open(&url, Some(&last)).await;
    returned.until("immediate").await;
    assert_eq!(returned.seen(), all[before.len()..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_from_before_a_broken_connection_are_sent_first() {
    const TEXTS: [&str; 5] =
        ["", "two\nlines\r\n\r\nid: 7", " a space first", "€ 豆腐", "it's \"quoted\" \\n"];
    let server = Arc::new(Server::new("breaks"));
    blocking(&server, Server::start).await;
    let port = proxy::hold_back(server.port(), "number 1 ", "number 500 ").await;
    let mut forwarder = Forwarder::start(&server.url_by(port), &CHANNELS);
    let url = forwarder.listening().await;
    let mut page = Page::open(&url, None).await;

    let database = connect(&server.url()).await.expect("the server runs");
    for number in 1..=500 {
        let sql = format!("NOTIFY orders, 'number {number} '");
        database.batch_execute(&sql).await.expect("the server runs");
    }
    page.until_reconnected(1).await;
    let seen = page.seen();
    let numbers: Vec<_> = seen.iter().map(|seen| seen.data.clone()).collect();
    let expected: Vec<_> = (1..=500).map(|number| format!("number {number} ")).collect();
    assert_eq!(numbers[..500], expected);
    assert_eq!((seen.len(), seen[500].event.as_str()), (501, "reconnected"));

    assert_eq!(forwarder.listening().await, url);
    let long = "x".repeat(7999);
    for (number, text) in TEXTS.into_iter().chain([long.as_str()]).enumerate() {
        database.query("SELECT pg_notify($1, $2)", &[&CHANNELS[1], &text]).await.expect("the server runs");
        let seen = page.after(501 + number).await;
        let lines = text.replace("\r\n", "\n");
        assert_eq!((seen.event.as_str(), seen.data), (CHANNELS[1], lines));
    }
}

/// The notifications of each writer are seen once, in the order of their commits. Between two of them, some
/// may be missing only if `reconnected` stands there.
fn assert_nothing_is_missing(seen: &[Seen], writers: &[Writer]) {
    for writer in writers {
        let mut missing: BTreeSet<u64> = writer.committed().iter().copied().collect();
        let (mut last, mut is_reported) = (0, false);
        for event in seen {
            is_reported |= event.event == "reconnected";
            let Some(number) = writer.number_of(event) else { continue };
            assert!(number > last, "writer {}: {number} after {last}", writer.name());
            missing.remove(&number);
            let lost: Vec<_> = missing.range(last + 1..number).collect();
            assert!(lost.is_empty() || is_reported, "writer {}: {lost:?} missed silently", writer.name());
            (last, is_reported) = (number, false);
        }
        let lost: Vec<_> = missing.range(last + 1..).collect();
        assert!(lost.is_empty(), "writer {}: {lost:?} missed at the end", writer.name());
        assert!(last > 0, "writer {} was heard", writer.name());
    }
    assert!(!seen.iter().any(|seen| seen.data == writer::NEVER), "a rolled back transaction tells nobody");
}

/// Runs this with all writers at once, and gives them back.
async fn together<F>(writers: Vec<Writer>, run: impl Fn(Writer) -> F) -> Vec<Writer>
where
    F: Future<Output = Writer> + Send + 'static,
{
    let running: Vec<_> = writers.into_iter().map(|writer| tokio::spawn(run(writer))).collect();
    let mut writers = Vec::new();
    for writer in running {
        writers.push(writer.await.expect("the writer ends"));
    }
    writers
}

/// Notifies of this, after all that was committed before.
async fn mark(server: &Server, text: &str) {
    let database = connect(&server.url()).await.expect("the server runs");
    database.batch_execute(&format!("NOTIFY orders, '{text}'")).await.expect("the server runs");
}

async fn blocking(server: &Arc<Server>, run: impl FnOnce(&Server) + Send + 'static) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || run(&server)).await.expect("the server obeys");
}
