//! The streams of a session, of everyone, of those that match; and that each leaves alone.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use futures_util::poll;
use http_body_util::BodyExt;
use ssekit_server::{
    AudienceError, BodyError, Channel, Clients, Delivery, EmitError, Emitter, Error, Event, LastEventId,
    Produce, SseBody, StopReason, Streams,
};
use tokio::sync::{mpsc, oneshot};

use crate::support::{Client, reporting, serve, within};

/// A server whose path is the session, and which reports each end.
fn sessions(clients: &Clients<String>) -> (SocketAddr, mpsc::Receiver<StopReason>) {
    let (stopped, stop) = mpsc::channel(64);
    let events = async move |Path(session): Path<String>, State(clients): State<Clients<String>>| {
        clients.connect(session).on_stop(reporting(stopped))
    };
    let router = axum::Router::new().route("/{session}", axum::routing::get(events));
    (serve(router.with_state(clients.clone())), stop)
}

async fn tab(addr: SocketAddr, session: &str) -> Client {
    let request = format!("GET /{session} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    Client::request(addr, request.as_bytes()).await
}

fn body(produce: Produce) -> SseBody {
    produce.response().into_body()
}

async fn frame(body: &mut SseBody) -> String {
    let frame = body.frame().await.expect("not the end").expect("not stalled");
    String::from_utf8(frame.into_data().expect("data").to_vec()).unwrap()
}

/// Reads to the proper end.
async fn rest(mut body: SseBody) -> String {
    let mut rest = String::new();
    while let Some(frame) = body.frame().await {
        rest.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    rest
}

#[track_caller]
fn check(delivery: Delivery, taken: usize, full: usize, gone: usize) {
    assert_eq!((delivery.taken, delivery.full, delivery.gone), (taken, full, gone));
}

#[tokio::test]
async fn an_event_for_a_session_reaches_all_its_tabs_and_no_other() -> Result<(), AudienceError> {
    let clients = Clients::<String>::new();
    let (addr, _stop) = sessions(&clients);
    let mut tabs = [
        tab(addr, "some-session-id").await,
        tab(addr, "some-session-id").await,
        tab(addr, "some-session-id").await,
    ];
    let mut other = tab(addr, "other").await;
    assert_eq!((clients.len(), clients.streams()), (2, 4));

    clients.get("some-session-id").emit("message", "hello")?;
    check(clients.get("some-session-id").emit_json("object", &[1, 2])?, 3, 0, 0);
    check(clients.all().emit("news", "for all")?, 4, 0, 0);
    check(
        clients.matching(|session| session.starts_with("oth")).try_send(Event::json("x")?.with_id("7")?)?,
        1,
        0,
        0,
    );
    for tab in &mut tabs {
        let expected =
            "event: message\ndata: hello\n\nevent: object\ndata: [1,2]\n\nevent: news\ndata: for all\n\n";
        assert_eq!(tab.at_least(expected.len()).await, expected);
    }
    let expected = "event: news\ndata: for all\n\nid: 7\nevent: message\ndata: \"x\"\n\n";
    assert_eq!(other.at_least(expected.len()).await, expected);
    Ok(())
}

#[tokio::test]
async fn a_tab_that_leaves_takes_no_other_with_it() {
    let clients = Clients::<String>::new();
    let (addr, mut stop) = sessions(&clients);
    let (first, mut second) = (tab(addr, "ada").await, tab(addr, "ada").await);
    drop(first);
    assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
    assert_eq!(clients.get("ada").len(), 1);
    clients.get("ada").emit("n", "1").unwrap();
    assert_eq!(second.chunk().await, "event: n\ndata: 1\n\n");

    second.reset();
    assert!(matches!(within(stop.recv()).await, Some(StopReason::Disconnected)));
    assert!(!clients.contains("ada") && clients.is_empty() && clients.keys().is_empty());
    assert!(matches!(clients.get("ada").emit("n", "2"), Err(AudienceError::Nobody)));
}

#[tokio::test]
async fn a_stream_has_a_key_in_each_of_several_registries() {
    let (users, rooms) = (Clients::<&str>::new(), Clients::<u64>::builder().max_per_key(2).build());
    let mut ada = body(users.connect("ada").also_in(&rooms, 7));
    let mut bob = body(users.connect("bob").also_in(&rooms, 7));
    check(rooms.get(&7).emit("said", "hello").unwrap(), 2, 0, 0);
    check(users.get("ada").emit("n", "for ada").unwrap(), 1, 0, 0);
    assert_eq!(frame(&mut ada).await, "event: said\ndata: hello\n\nevent: n\ndata: for ada\n\n");
    assert_eq!(frame(&mut bob).await, "event: said\ndata: hello\n\n");

    // A room that is full refuses the stream, which is then in no registry.
    let refused = users.connect("eve").also_in(&rooms, 7).response();
    assert_eq!(refused.headers()["ssekit-refused"], "too many streams of this client");
    assert!(!users.contains("eve"));

    users.close("ada");
    assert_eq!(rest(ada).await, "");
    assert_eq!((rooms.get(&7).len(), users.len()), (1, 1));
}

#[tokio::test]
async fn a_stream_of_a_channel_can_have_a_key() {
    let (news, rooms) = (Channel::new(), Clients::<u64>::new());
    let produce = news.subscribe(LastEventId::default()).also_in(&rooms, 7);
    let mut stream = body(produce.no_ping().no_stall_timeout());
    check(rooms.get(&7).emit("said", "hello").unwrap(), 1, 0, 0);
    assert_eq!(frame(&mut stream).await, "event: said\ndata: hello\n\n");
    let id = news.emit("n", "1").unwrap();
    let wanted = format!("id: {id}\nevent: n\ndata: 1\n\n");
    within(async { while !frame(&mut stream).await.contains(&wanted) {} }).await;
}

#[tokio::test]
async fn an_audience_is_closed_without_those_who_join_later() {
    let clients = Clients::<&str>::new();
    let (ada, bob) = (body(clients.connect("ada")), body(clients.connect("bob")));
    let guests = clients.matching(|key| *key == "ada");
    let mut later = body(clients.connect("ada"));
    guests.emit("n", "bye").unwrap();
    assert_eq!(guests.close(), 1);
    check(guests.emit("n", "too late").unwrap(), 0, 0, 1);
    assert_eq!(rest(ada).await, "event: n\ndata: bye\n\n");
    check(clients.all().emit("n", "2").unwrap(), 2, 0, 0);
    assert_eq!(frame(&mut later).await, "event: n\ndata: 2\n\n");
    drop(bob);
}

#[tokio::test]
async fn nobody_is_an_error_for_a_session_and_none_for_everyone() {
    let clients = Clients::<u64>::new();
    let error = clients.get(&7).emit("n", "").unwrap_err();
    assert!(matches!(error, AudienceError::Nobody) && error.to_string().contains("no stream of this key"));
    assert!(clients.get(&7).is_empty());
    check(clients.all().emit("n", "").unwrap(), 0, 0, 0);
    check(clients.matching(|_| true).emit("n", "").unwrap(), 0, 0, 0);
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_is_an_error_for_nobody_too() {
    let clients = Clients::<u64>::new();
    let field = clients.all().emit("a\nb", "").unwrap_err();
    assert!(matches!(field, AudienceError::Event(EmitError::Field(_))), "{field}");
    let large = clients.all().emit("n", "x".repeat(17 << 20)).unwrap_err();
    assert!(matches!(large, AudienceError::Event(EmitError::TooLarge { .. })), "{large}");
}

#[tokio::test]
async fn events_emitted_before_the_response_is_read_wait_for_it() {
    let clients = Clients::<&str>::new();
    let mut stream = body(clients.connect("ada"));
    clients.get(&"ada").emit("n", "1").unwrap();
    assert_eq!(frame(&mut stream).await, "event: n\ndata: 1\n\n");
}

#[tokio::test]
async fn a_stream_is_there_before_its_start_runs() {
    let clients = Clients::<&str>::new();
    let others = clients.clone();
    let mut stream = body(clients.connect_with("ada", move |stream| async move {
        // As the answer of a database that is asked meanwhile.
        others.get(&"ada").emit("meanwhile", "")?;
        stream.emit("first", "")?;
        Ok(())
    }));
    assert_eq!(frame(&mut stream).await, "event: meanwhile\ndata: \n\nevent: first\ndata: \n\n");
    assert!(poll!(stream.frame()).is_pending(), "it stays open after its start");
}

#[tokio::test]
async fn a_response_that_nobody_reads_leaves_and_one_that_is_never_built_does_not_come() {
    let clients = Clients::<&str>::new();
    let produce = clients.connect("ada");
    assert!(clients.is_empty());
    let response = produce.response();
    assert!(clients.contains("ada"));
    drop(response);
    assert!(clients.is_empty());
    assert!(clients.connect("ada").header("a b", "c").try_response().is_err());
    assert!(clients.is_empty() && clients.streams() == 0);
}

#[tokio::test]
async fn the_streams_own_on_stop_runs_once_it_has_left() {
    let clients = Clients::<&str>::new();
    let (online, asked) = oneshot::channel();
    let others = clients.clone();
    let stream = clients.connect("ada").on_stop(move |reason| async move {
        online.send((others.contains("ada"), reason)).unwrap();
    });
    let mut stream = body(stream);
    assert!(poll!(stream.frame()).is_pending());
    drop(stream);
    assert!(matches!(within(asked).await, Ok((false, StopReason::Disconnected))));
}

#[tokio::test]
async fn a_stream_that_is_full_is_left_out_and_counted_and_others_get_the_event() {
    let clients = Clients::<&str>::new();
    let slow = body(clients.connect("ada").buffer(100));
    let mut fast = body(clients.connect("ada"));
    let long = "x".repeat(90);
    check(clients.get("ada").emit("n", &long).unwrap(), 2, 0, 0);
    check(clients.get("ada").emit("n", "1").unwrap(), 1, 1, 0);
    let first = format!("event: n\ndata: {long}\n\n");
    assert_eq!(frame(&mut fast).await, format!("{first}event: n\ndata: 1\n\n"));
    drop(fast);
    let error = clients.get("ada").emit("n", "2").unwrap_err();
    assert!(matches!(error, AudienceError::Full { streams: 1 }) && error.to_string().contains("1 streams"));
    check(clients.all().emit("n", "3").unwrap(), 0, 1, 0);
    assert_eq!(clients.left_out(), 3);

    clients.close("ada");
    assert_eq!(rest(slow).await, first, "what was taken is sent, and nothing of what was not");
}

#[tokio::test]
async fn a_stream_that_is_full_can_be_ended_so_that_its_client_resumes() {
    let clients = Clients::<&str>::builder().end_when_full().build();
    let (stopped, mut stop) = mpsc::channel(1);
    let mut slow = body(clients.connect("ada").buffer(100).on_stop(reporting(stopped)));
    let long = "x".repeat(90);
    clients.get("ada").emit("n", &long).unwrap();
    assert!(matches!(clients.get("ada").emit("n", "1"), Err(AudienceError::Full { streams: 1 })));
    // It is ending: it takes no more events, and is not counted as full again.
    assert!(matches!(clients.get("ada").emit("n", ""), Err(AudienceError::Nobody)));
    check(clients.all().emit("n", "").unwrap(), 0, 0, 1);
    assert_eq!(frame(&mut slow).await, format!("event: n\ndata: {long}\n\n"));
    // It looks complete to nobody.
    let error = slow.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Incomplete { .. }), "{error}");
    assert!(matches!(stop.try_recv(), Ok(StopReason::Overtaken { missed: 1 })));
    assert!(clients.is_empty() && clients.left_out() == 1);
}

/// Sessions that are logged in, and the order that the documentation gives: the stream, then the check.
#[derive(Clone, Default)]
struct Sessions {
    clients: Clients<&'static str>,
    valid: Arc<Mutex<HashSet<&'static str>>>,
}

impl Sessions {
    fn is_valid(&self, session: &str) -> bool {
        self.valid.lock().unwrap().contains(session)
    }

    fn log_out(&self, session: &'static str) -> usize {
        self.valid.lock().unwrap().remove(session);
        self.clients.close("ada")
    }
}

#[tokio::test]
async fn a_log_out_between_the_check_and_the_stream_is_found_before_anything_is_sent() {
    let sessions = Sessions::default();
    sessions.valid.lock().unwrap().extend(["one", "two"]);
    // At each step of a handler, of which one checks before and all check after.
    for log_out_after in 0..3 {
        sessions.valid.lock().unwrap().insert("one");
        let mut closed = 0;
        let mut step = |n| closed += if n == log_out_after { sessions.log_out("one") } else { 0 };
        assert!(sessions.is_valid("one"));
        step(0);
        let produce = sessions.clients.connect("ada");
        step(1);
        let response = produce.response();
        step(2);
        // For another session of the same user.
        drop(sessions.clients.get("ada").emit("private", "…"));
        let answer = sessions.is_valid("one").then_some(response);
        assert!(answer.is_none() && sessions.clients.is_empty());
        assert_eq!(closed, usize::from(log_out_after == 2));
    }
    // Where a handler cannot build its response, start checks once more.
    sessions.valid.lock().unwrap().insert("one");
    assert!(sessions.is_valid("one"));
    sessions.log_out("one");
    let check = sessions.clone();
    let mut late =
        body(sessions.clients.connect_with("ada", move |_: Emitter| match check.is_valid("one") {
            true => Ok(()),
            false => Err(Error::new("the session has been logged out")),
        }));
    assert!(sessions.clients.contains("ada"), "`close` would reach it");
    let error = loop {
        if let Err(error) = late.frame().await.expect("it is cut") {
            break error;
        }
    };
    assert!(error.to_string().contains("has been logged out"));
    assert!(sessions.clients.is_empty());
    assert!(matches!(sessions.clients.get("ada").emit("n", ""), Err(AudienceError::Nobody)));
}

/// Keys are foreign code: one that panics while it is compared leaves the registry as it was.
#[tokio::test]
async fn a_key_that_panics_takes_nothing_with_it() {
    #[derive(Clone)]
    struct Key(u8, Arc<AtomicBool>);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            assert!(!self.1.load(SeqCst) && !other.1.load(SeqCst), "it cannot be compared");
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            state.write_u8(0);
        }
    }
    let (broken, sound) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let clients = Clients::<Key>::new();
    let one = clients.connect(Key(1, sound.clone())).response();
    let key = Key(2, broken.clone());
    broken.store(true, SeqCst);
    let (other, bad) = (clients.clone(), key.clone());
    let joined = std::thread::spawn(move || other.connect(bad).response()).join();
    assert!(joined.is_err());
    broken.store(false, SeqCst);
    assert_eq!((clients.len(), clients.streams()), (1, 1));
    let two = clients.connect(key.clone()).response();
    check(clients.all().emit("n", "").unwrap(), 2, 0, 0);
    drop((one, two));
    assert!(clients.is_empty() && clients.streams() == 0);
}

/// Keys that use the registry when they are dropped, as foreign code may: no lock is held then.
#[tokio::test]
async fn keys_are_dropped_when_no_lock_is_held() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Name(u8);
    #[derive(Clone)]
    struct Key(Name, Arc<Mutex<Option<Clients<Self>>>>);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl Drop for Key {
        fn drop(&mut self) {
            let clients = self.1.lock().unwrap().clone();
            assert!(clients.is_none_or(|clients| clients.streams() < 10));
        }
    }
    // A deadlock would hang a thread, not the test.
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let clients = Clients::<Key>::builder().max_per_key(2).build();
        let registry = Arc::new(Mutex::new(Some(clients.clone())));
        let key = |n| Key(Name(n), registry.clone());
        let open = [1, 1, 1, 2, 3].map(|n| clients.connect(key(n)).response());
        assert_eq!((clients.len(), clients.refused()), (3, 1));
        clients.close(&key(2));
        drop(clients.matching(|key| key.0 == Name(3)));
        drop(open);
        assert!(clients.is_empty() && !clients.contains(&key(1)));
        registry.lock().unwrap().take();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("no lock is held while a key is dropped");
}

#[tokio::test]
async fn each_stream_keeps_its_own_options() {
    let clients = Clients::<&str>::new();
    let mut numbered = body(clients.connect("ada").ids_from(5).retry(Duration::from_secs(1)));
    let mut plain = body(clients.connect("ada"));
    clients.get("ada").emit("n", "1").unwrap();
    clients.get("ada").try_send(Event::new("2").with_id("own").unwrap()).unwrap();
    assert_eq!(
        frame(&mut numbered).await,
        "retry: 1000\nid: 5\nevent: n\ndata: 1\n\nid: own\nevent: message\ndata: 2\n\n"
    );
    assert_eq!(frame(&mut plain).await, "event: n\ndata: 1\n\nid: own\nevent: message\ndata: 2\n\n");
}

#[tokio::test]
async fn closing_a_key_ends_its_streams_alone_and_at_once() {
    let clients = Clients::<String>::new();
    let (addr, mut stop) = sessions(&clients);
    let (mut first, mut second, mut other) =
        (tab(addr, "ada").await, tab(addr, "ada").await, tab(addr, "bob").await);
    clients.get("ada").emit("bye", "").unwrap();
    let held = clients.get("ada");
    assert_eq!(clients.close("ada"), 2);
    assert_eq!(clients.close("ada"), 0);
    assert!(!clients.contains("ada") && clients.keys() == ["bob"] && clients.streams() == 1);
    assert!(matches!(held.emit("late", ""), Err(AudienceError::Nobody)));
    for tab in [&mut first, &mut second] {
        assert_eq!(tab.rest().await, "event: bye\ndata: \n\n");
        assert!(matches!(within(stop.recv()).await, Some(StopReason::Ended)));
    }
    clients.get("bob").emit("n", "").unwrap();
    assert_eq!(other.chunk().await, "event: n\ndata: \n\n");

    // One that is closed before it is read does not start.
    let unread = body(clients.connect_with("eve".to_owned(), |_: Emitter| -> () { panic!("start has run") }));
    assert_eq!(clients.close("eve"), 1);
    assert_eq!(rest(unread).await, "");
}

#[tokio::test]
async fn the_newest_stream_of_a_key_beyond_its_limit_is_refused() {
    let clients = Clients::<&str>::builder().max_per_key(2).build();
    let (stopped, mut stop) = mpsc::channel(1);
    let _tabs = [body(clients.connect("ada")), body(clients.connect("ada"))];
    let response = clients.connect("ada").on_stop(reporting(stopped)).response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["ssekit-refused"], "too many streams of this client");
    assert_eq!((clients.streams(), clients.refused()), (2, 1));
    let text = rest(response.into_body()).await;
    assert!(text.starts_with("retry: ") && text.lines().count() == 1, "{text}");
    assert!(matches!(stop.try_recv(), Ok(StopReason::Refused)));
    assert_eq!(clients.get("ada").len(), 2);

    let bob = clients.connect("bob").response();
    assert!(bob.headers().get("ssekit-refused").is_none());
    let none = Clients::<&str>::builder().max_per_key(0).build();
    assert!(none.connect("ada").response().headers().contains_key("ssekit-refused"));
    assert!(none.is_empty() && none.streams() == 0);
}

#[tokio::test]
async fn the_oldest_stream_of_a_key_can_make_room_for_the_newest() {
    let clients = Clients::<&str>::builder().max_per_key(2).replace_oldest().build();
    let (stopped, mut stop) = mpsc::channel(1);
    let first = body(clients.connect("ada").on_stop(reporting(stopped)));
    let _second = body(clients.connect("ada"));
    clients.get("ada").emit("n", "1").unwrap();
    let mut third = body(clients.connect("ada"));
    assert_eq!((clients.get("ada").len(), clients.streams(), clients.refused()), (2, 2, 0));
    check(clients.get("ada").emit("n", "2").unwrap(), 2, 0, 0);
    let text = rest(first).await;
    assert!(text.starts_with("event: n\ndata: 1\n\nretry: ") && text.lines().count() == 4, "{text}");
    assert!(matches!(stop.try_recv(), Ok(StopReason::Replaced)));
    assert_eq!(frame(&mut third).await, "event: n\ndata: 2\n\n");
    assert_eq!(clients.get("ada").len(), 2, "the one that was replaced takes no other with it");
}

#[tokio::test]
async fn clients_and_streams_work_together() {
    let (clients, streams) = (Clients::<&str>::new(), Streams::builder().max(1).build());
    let taken = clients.connect("ada").within(&streams).response();
    let refused = clients.connect("bob").within(&streams).response();
    assert!(!clients.contains("bob"), "who is refused does not come");
    assert_eq!(refused.headers()["ssekit-refused"], "too many streams");

    streams.shutdown();
    assert!(matches!(clients.get("ada").emit("n", ""), Err(AudienceError::Nobody)));
    assert!(rest(taken.into_body()).await.starts_with("retry: "));
    assert!(rest(refused.into_body()).await.starts_with("retry: "));
    within(streams.ended()).await;
    assert!(clients.is_empty());

    // One whose key is full leaves the streams that it has joined.
    let (clients, streams) = (Clients::<&str>::builder().max_per_key(0).build(), Streams::new());
    let refused = clients.connect("ada").within(&streams).response();
    assert!(streams.is_empty());
    drop(refused);
    streams.shutdown();
    within(streams.ended()).await;
}

/// Keys that are asked about while others come and go, and a closure that asks the registry itself.
#[tokio::test]
async fn nothing_of_the_users_runs_under_the_lock() {
    let clients = Clients::<String>::new();
    let _tabs = [body(clients.connect("ada".into())), body(clients.connect("bob".into()))];
    let audience =
        clients.matching(|key| clients.contains(key) && clients.get(key).emit("asked", key).is_ok());
    assert_eq!(audience.len(), 2);
}

#[test]
fn streams_that_come_and_go_on_all_threads_leave_nothing_behind() {
    const THREADS: usize = 4;
    const EACH: usize = 250;
    let clients = Clients::<usize>::builder().max_per_key(8).build();
    let streams = Streams::new();
    let stops = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (clients, streams, stops) = (clients.clone(), streams.clone(), stops.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    let mut open = Vec::new();
                    for n in 0..EACH {
                        let key = n % 5;
                        let stops = stops.clone();
                        let mut stream =
                            body(clients.connect(key).within(&streams).on_stop(move |_| async move {
                                stops.fetch_add(1, SeqCst);
                            }));
                        match n % 7 {
                            0 => continue,
                            1 => drop(clients.close(&key)),
                            2 => drop(clients.all().emit("n", "").unwrap()),
                            _ => drop(clients.get(&key).emit("n", "")),
                        }
                        drop(poll!(stream.frame()));
                        open.push(stream);
                        if open.len() > 10 {
                            drop(open.remove(thread));
                        }
                        if (thread, n) == (0, EACH * 3 / 4) {
                            streams.shutdown();
                        }
                    }
                    for stream in open {
                        drop(within(stream.collect()).await);
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(stops.load(SeqCst), THREADS * EACH);
    assert!(clients.is_empty() && clients.streams() == 0 && streams.is_empty());
    assert!(clients.keys().is_empty() && clients.all().is_empty());
}
