use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssekit_client::{CloseReason, Error, Reconnect, Select, Source, Status, source};

use crate::answer::Answer;
use crate::peer::Peer;
use crate::script::Script;
use crate::{data, eager, soon};

/// The calls of a source's callbacks, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn keep(&self, connection: Source) -> Source {
        let [open, message, comment, error, close] = [(); 5].map(|()| self.clone());
        connection
            .on_open(move |opened| open.write(format!("open {}", opened.status().as_u16())))
            .on_message(move |message_| message.write(format!("message {}", message_.data())))
            .on_comment(move |text| comment.write(format!("comment {text}")))
            .on_error(move |error_| error.write(format!("error {error_}")))
            .on_close(move |reason| close.write(format!("close {reason}")))
    }

    fn write(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn every_callback_is_called_in_order() {
    let peer = Peer::start([
        Answer::events(":first\ndata: a\n\n:second\nevent: other\ndata: b\n\n"),
        Answer::status(404).body("gone"),
    ])
    .await;
    let diary = Diary::default();
    let connection = diary.keep(source(peer.url("/")).reconnect(eager()));
    let mut messages = connection.select("message");
    while soon("the end", messages.next()).await.is_some() {}
    assert_eq!(
        diary.lines(),
        [
            "open 200",
            "comment first",
            "message a",
            "comment second",
            "message b",
            "error the server ended the event stream",
            "error the server answered 404 Not Found: gone",
            "close the server answered 404 Not Found: gone",
        ]
    );
}

#[tokio::test]
async fn quirk_9_every_end_is_reported_as_exactly_one_close() {
    let unreachable = Peer::start([]).await.kill().await;
    let open = || Answer::events("data: a\n\n").then_stay();
    let peers = [
        Peer::start([open()]).await,
        Peer::start([open()]).await,
        Peer::start([open()]).await,
        Peer::start([Answer::events("data: a\n\n")]).await,
        Peer::start([Answer::status(204)]).await,
        Peer::start([Answer::status(403)]).await,
    ];
    let close = |connection: &Source| connection.close();
    let close_twice = |connection: &Source| {
        connection.close();
        connection.close();
    };
    let nothing = |_: &Source| ();
    type Act = fn(&Source);
    let cases: [(&str, String, Act, &str); 6] = [
        ("closed here", peers[0].url("/"), close, "Local"),
        ("closed here twice", peers[1].url("/"), close_twice, "Local"),
        ("dropped", peers[2].url("/"), nothing, "Unsubscribed"),
        ("ended", peers[3].url("/"), nothing, "Ended"),
        ("no content", peers[4].url("/"), nothing, "NoContent"),
        ("refused", peers[5].url("/"), nothing, "Failed"),
    ];
    for (what, url, act, reason) in cases {
        let (sender, mut closes) = tokio::sync::mpsc::unbounded_channel();
        let connection = source(url).reconnect(Reconnect::never()).on_close(move |reason| {
            assert!(reason.connection_status().is_closed());
            sender.send(format!("{:?}", **reason)).unwrap();
        });
        let mut messages = connection.select("message");
        let first = soon(what, messages.next()).await;
        act(&connection);
        if first.is_some_and(|first| first.is_ok()) && reason != "Unsubscribed" {
            while soon(what, messages.next()).await.is_some() {}
        }
        drop(messages);
        let close = soon(what, closes.recv()).await.unwrap();
        assert!(close.starts_with(reason), "{what}: {close}");
        drop(connection);
        assert_eq!(soon(what, closes.recv()).await, None, "{what}");
    }

    // The failure of a first attempt is reported too.
    let (sender, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let connection = source(format!("http://{unreachable}/"))
        .reconnect(Reconnect::never())
        .on_close(move |reason| sender.send((**reason).clone()).unwrap());
    assert!(soon("the error", connection.select("message").next()).await.is_some_and(|error| error.is_err()));
    assert!(matches!(closes.recv().await, Some(CloseReason::Failed(Error::Connect { .. }))));
}

#[tokio::test(start_paused = true)]
async fn quirk_2_a_handler_that_always_reconnects_does_not_reopen_a_connection_without_readers() {
    for by_close in [true, false] {
        for has_callback in [true, false] {
            let script = Script::new(vec![Answer::events("data: a\n\n").then_stay(); 3]);
            let closes = Arc::new(AtomicUsize::new(0));
            let closed = Arc::clone(&closes);
            let mut connection = source("http://script/").transport(script.clone()).on_close(move |reason| {
                closed.fetch_add(1, Ordering::Relaxed);
                reason.connect();
            });
            if has_callback && !by_close {
                connection = connection.on_message(|_| {});
            }
            let mut messages = connection.select("message");
            data(&mut messages).await;
            if by_close {
                connection.close();
            }
            drop(messages);
            let _ = tokio::time::timeout(Duration::from_secs(3600), std::future::pending::<()>()).await;
            let seen = (script.requests().len(), closes.load(Ordering::Relaxed));
            assert_eq!(seen, (1, 1), "by close: {by_close}, with on_message: {has_callback}");
            connection.connect();
        }
    }
}

/// The scene of a page that shows a value, closes the connection three times, and connects it twice in
/// between.
#[tokio::test(start_paused = true)]
async fn an_explicit_connect_opens_again_after_a_local_close_while_somebody_subscribes() {
    let script = Script::new(vec![Answer::events("data: a\n\n").then_stay(); 9]);
    let diary = Diary::default();
    let opens = diary.clone();
    let closes = diary.clone();
    let connection = source("http://script/")
        .transport(script.clone())
        .on_open(move |_| opens.write("open".to_owned()))
        .on_close(move |reason| closes.write(format!("close {reason}")));
    let messages = connection.select("message").latest();
    messages.get();
    let half_a_second = || tokio::time::sleep(Duration::from_millis(500));
    half_a_second().await;
    connection.close();
    half_a_second().await;
    connection.connect();
    half_a_second().await;
    connection.close();
    half_a_second().await;
    connection.connect();
    half_a_second().await;
    connection.close();
    half_a_second().await;
    let round = ["open", "close closed by this client"];
    assert_eq!(diary.lines(), [round, round, round].concat());

    drop(messages);
    connection.connect();
    half_a_second().await;
    assert_eq!(script.requests().len(), 3, "with nobody left it does nothing");
}

/// The last stream is dropped after `connect`, before the connection has been opened again.
#[tokio::test(start_paused = true)]
async fn a_connection_is_not_opened_again_for_a_stream_that_is_dropped() {
    type Case = fn(&Source, Select);
    let cases: [(&str, Case); 3] = [
        ("while it is open", |connection, messages| {
            connection.connect();
            drop(messages);
        }),
        ("after a local close", |connection, messages| {
            connection.close();
            connection.connect();
            drop(messages);
        }),
        ("after it was left", |connection, messages| {
            drop(messages);
            let messages = connection.select("message");
            connection.connect();
            drop(messages);
        }),
    ];
    for (name, case) in cases {
        for has_callback in [false, true] {
            let script = Script::new(vec![Answer::events("data: a\n\n").then_stay(); 3]);
            let mut connection = source("http://script/").transport(script.clone());
            if has_callback {
                connection = connection.on_message(|_| {});
            }
            let mut messages = connection.select("message");
            data(&mut messages).await;
            case(&connection, messages);
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(script.requests().len(), 1, "{name}, with on_message: {has_callback}");
            assert!(matches!(connection.status(), Status::Closed { reason: CloseReason::Unsubscribed }));
            // Whoever comes next opens it again.
            assert_eq!(data(&mut connection.select("message")).await, "a", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_callback_that_connects_and_then_drops_the_last_stream_opens_nothing() {
    // It ends a second after the event.
    let answer = Answer::events("data: a\n\n").body(":\n\n");
    let script = Script::new(vec![answer; 3]).pace(Duration::from_secs(1));
    let last = Arc::new(Mutex::new(None));
    let held = Arc::clone(&last);
    let connection = source("http://script/")
        .transport(script.clone())
        .reconnect(Reconnect::never())
        .on_close(move |closed| {
            closed.connect();
            drop(held.lock().unwrap().take());
        });
    let mut messages = connection.select("message");
    data(&mut messages).await;
    *last.lock().unwrap() = Some(messages);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(script.requests().len(), 1);
    assert!(matches!(connection.status(), Status::Closed { reason: CloseReason::Ended }));
}

#[tokio::test(start_paused = true)]
async fn a_close_callback_may_connect_again_after_a_local_close() {
    let script = Script::new(vec![Answer::events("id: 7\ndata: a\n\n").then_stay(); 3]);
    let connection = source("http://script/")
        .transport(script.clone())
        .reconnect(Reconnect::resilient().without_jitter())
        .on_close(|closed| closed.connect());
    let mut messages = connection.select("message");
    data(&mut messages).await;
    connection.close();
    assert!(messages.next().await.is_none(), "a close ends every stream");
    let mut statuses = connection.statuses();
    while !matches!(statuses.changed().await, Some(Status::Waiting { .. })) {}
    assert_eq!(data(&mut messages).await, "a", "the same stream goes on");
    assert_eq!(
        script.delays(),
        [Duration::from_secs(1)],
        "one close reconnects once, after the policy's delay"
    );
    assert_eq!(script.requests()[1].headers()["last-event-id"], "7");
}

#[tokio::test(start_paused = true)]
async fn quirk_3_no_error_follows_a_close() {
    let script = Script::new(vec![Answer::events("data: a\n\n").then_stay(); 3]);
    let diary = Diary::default();
    let connection = diary.keep(source("http://script/").transport(script.clone()));
    let mut messages = connection.select("message");
    data(&mut messages).await;
    connection.close();
    let _ = tokio::time::timeout(Duration::from_secs(3600), std::future::pending::<()>()).await;
    assert_eq!(diary.lines(), ["open 200", "message a", "close closed by this client"]);
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_connect_again_after_the_policy_s_delay() {
    let script = Script::new([
        Answer::status(404),
        Answer::status(404),
        Answer::status(404),
        Answer::events("data: a\n\n").then_stay(),
    ]);
    let connection = source("http://script/")
        .transport(script.clone())
        .reconnect(Reconnect::resilient().without_jitter())
        .on_close(|closed| closed.connect());
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "a", "the stream has not ended in between");
    assert_eq!(script.delays(), [1, 2, 4].map(Duration::from_secs), "no storm of requests");
}

#[tokio::test]
async fn case_088_a_close_inside_a_handler_works() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: 2\n\ndata: 3\n\n").then_stay()]).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let connection = source(peer.url("/")).on_message(move |message| {
        count.fetch_add(1, Ordering::Relaxed);
        message.close();
    });
    let mut messages = connection.select("message");
    assert!(soon("the end", messages.next()).await.is_none());
    peer.left(1).await;
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_callback_that_panics_is_an_error_and_affects_no_other() {
    let peer = Peer::start([Answer::events("data: 1\n\ndata: 2\n\n").then_stay()]).await;
    let diary = Diary::default();
    let connection = diary.keep(source(peer.url("/"))).on_message(|_| panic!("out of ideas"));
    let mut messages = connection.select("message");
    assert_eq!([data(&mut messages).await, data(&mut messages).await], ["1", "2"]);
    let panics =
        diary.lines().iter().filter(|line| *line == "error on_message panicked: out of ideas").count();
    assert_eq!(panics, 2);
}

#[tokio::test]
async fn a_callback_for_messages_opens_nothing_and_counts_as_a_listener() {
    let peer = Peer::start([Answer::events("data: 1\n\n").then_stay()]).await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connection =
        source(peer.url("/")).on_message(move |message| sender.send(message.data().to_owned()).unwrap());
    assert!(matches!(connection.status(), Status::Idle));
    connection.connect();
    assert_eq!(soon("a message", seen.recv()).await.unwrap(), "1");
    drop(connection);
    peer.left(1).await;
}

#[tokio::test]
async fn connect_does_nothing_while_nobody_listens() {
    let peer = Peer::start([]).await;
    let connection = source(peer.url("/")).on_open(|_| {}).on_close(|_| {}).on_error(|_| {});
    connection.connect();
    tokio::task::yield_now().await;
    assert!(matches!(connection.status(), Status::Idle));
}
