//! Kills at any moment, under load: answered updates are there, once and in order, and subscribers that
//! resume miss nothing and get nothing twice.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::hub::{Hub, PATIENCE, post, ssekit, subscribe, until};
use crate::stream::{Event, Next, Stream};

pub(crate) fn command(folder: &std::path::Path, addr: &str) -> Command {
    let mut command = ssekit();
    command.args(["serve", "--dev", "--subscriptions=false", "--addr", addr, "--store"]).arg(folder);
    command
}

/// Publishes on open connections, and continues when the hub returns.
///
/// Publishers with an odd number send idempotency keys, and repeat each publication until it is answered; the
/// others publish each number once.
pub(crate) struct Publisher {
    thread: thread::JoinHandle<Answered>,
}

/// Publications that were answered 200, in order: the data, and the id.
pub(crate) type Answered = Vec<(String, String)>;

impl Publisher {
    pub(crate) fn start(number: usize, addr: SocketAddr, stop: Arc<AtomicBool>) -> Self {
        Self { thread: thread::spawn(move || publish(number, addr, &stop)) }
    }

    pub(crate) fn finish(self) -> Answered {
        self.thread.join().expect("it publishes")
    }
}

fn publish(publisher: usize, addr: SocketAddr, stop: &AtomicBool) -> Answered {
    let mut answered = Vec::new();
    let mut connection: Option<BufReader<TcpStream>> = None;
    let repeats = publisher % 2 == 1;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = TcpStream::connect(addr).ok().map(BufReader::new);
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let data = format!("{publisher}-{number}");
        let key = if repeats { format!("idempotency-key: {data}\r\n") } else { String::new() };
        let answer = one(open, &data, &key);
        if !repeats || matches!(answer, Ok((200, _))) {
            number += 1;
        }
        match answer {
            Ok((200, id)) => answered.push((data, id)),
            Ok((503, _)) => thread::sleep(Duration::from_millis(1)),
            Ok(other) => panic!("{data}: {other:?}"),
            // The hub may have stored it.
            Err(_) => connection = None,
        }
    }
    answered
}

fn one(connection: &mut BufReader<TcpStream>, data: &str, more: &str) -> std::io::Result<(u16, String)> {
    connection.get_ref().set_read_timeout(Some(PATIENCE))?;
    connection.get_mut().write_all(post(&format!("topic=a&data={data}"), more).as_bytes())?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_lowercase();
    let number =
        |text: &str| head.split_once(text).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    let (status, length) = (number("http/1.1 "), number("content-length: "));
    let (Some(status), Some(length)) = (status, length) else {
        return Err(std::io::Error::other(format!("an answer without a status or length: {head}")));
    };
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status as u16, String::from_utf8_lossy(&body).into_owned()))
}

/// Follows the topic and reconnects like a browser.
pub(crate) struct Follower {
    thread: thread::JoinHandle<Vec<Event>>,
    pub(crate) seen: Arc<Mutex<usize>>,
}

impl Follower {
    pub(crate) fn start(addr: SocketAddr, stop: Arc<AtomicBool>) -> Self {
        let seen = Arc::<Mutex<usize>>::default();
        let counted = Arc::clone(&seen);
        let thread = thread::spawn(move || {
            let mut events: Vec<Event> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let last = events.last().map_or("earliest", |event| &event.id);
                let opened = TcpStream::connect(addr).and_then(|socket| {
                    Stream::over(socket, &subscribe(&format!("topic=a&lastEventID={last}")))
                });
                let Ok(mut stream) = opened else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                while !stop.load(Ordering::Relaxed) {
                    match stream.wait(Duration::from_millis(50)) {
                        Next::Event(event) => {
                            events.push(event);
                            *counted.lock().expect("nobody panics with it") = events.len();
                        }
                        Next::Silence => {}
                        Next::End => break,
                    }
                }
            }
            events
        });
        Self { thread, seen }
    }

    pub(crate) fn finish(self) -> Vec<Event> {
        self.thread.join().expect("it follows")
    }
}

/// All stored updates before a mark that this function publishes.
pub(crate) fn kept(hub: &Hub) -> Vec<Event> {
    let mark = hub.publish("a", "mark");
    let mut stream = Stream::open(hub, "topic=a&lastEventID=earliest");
    let mut events = Vec::new();
    loop {
        let event = stream.next();
        assert_eq!(event.name, "message", "nothing else happens: {event:?}");
        if event.id == mark {
            return events;
        }
        events.push(event);
    }
}

/// Checks that everything that was answered is stored with its id, once, and in the order of each publisher.
pub(crate) fn compare(answered: &[Answered], kept: &[Event]) {
    let mut places = HashMap::new();
    let mut ids = HashSet::new();
    for (place, event) in kept.iter().enumerate() {
        assert!(ids.insert(&event.id), "an id twice: {event:?}");
        assert!(places.insert(&event.data, (place, &event.id)).is_none(), "an update twice: {event:?}");
    }
    for answered in answered {
        let mut last = None;
        for (data, id) in answered {
            let (place, kept) =
                places.get(data).unwrap_or_else(|| panic!("{data} was answered with {id}, and is lost"));
            assert_eq!(*kept, id, "{data}");
            assert!(last < Some(*place), "{data} is out of order");
            last = Some(*place);
        }
    }
}

#[test]
fn confirmed_updates_survive_any_kill_and_a_resume_misses_nothing() {
    let cycles = std::env::var("SSEKIT_KILL_CYCLES")
        .map_or(5, |cycles| cycles.parse().expect("SSEKIT_KILL_CYCLES is a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut hub = Hub::of(&mut command(&data, "127.0.0.1:0"));
    let addr = hub.addr;
    let (stop, stop_following) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let publishers: Vec<_> = (0..4).map(|number| Publisher::start(number, addr, Arc::clone(&stop))).collect();
    let followers: Vec<_> = (0..3).map(|_| Follower::start(addr, Arc::clone(&stop_following))).collect();
    let seen = |follower: &Follower| *follower.seen.lock().expect("nobody panics with it");
    for cycle in 0..cycles {
        // At another moment each time, after some deliveries since the start.
        let from = followers.iter().map(seen).max().expect("some");
        let patience = from + fastrand::usize(1..400);
        until("events are delivered", || followers.iter().any(|follower| seen(follower) > patience));
        hub.signal("KILL");
        hub.wait();
        // The system may hold the address for a moment.
        let mut next = None;
        until("it starts again", || {
            next = Hub::try_of(&mut command(&data, &addr.to_string())).ok();
            next.is_some()
        });
        hub = next.expect("it has started");
        if cycle % 2 == 0 {
            // A torn tail is repaired, and reported.
            until("it says that it was not closed", || !hub.log_lines("was not closed").is_empty());
        }
    }
    let from = followers.iter().map(seen).max().expect("some");
    until("events are delivered", || followers.iter().all(|follower| seen(follower) > from));
    stop.store(true, Ordering::Relaxed);
    let answered: Vec<_> = publishers.into_iter().map(Publisher::finish).collect();
    let kept = kept(&hub);
    compare(&answered, &kept);
    until("all is delivered", || followers.iter().all(|follower| seen(follower) > kept.len()));
    stop_following.store(true, Ordering::Relaxed);
    for follower in followers {
        let events = follower.finish();
        assert_eq!(events.len(), kept.len() + 1, "as many as are kept, and the mark");
        assert!(events.iter().zip(&kept).all(|(seen, kept)| seen == kept), "the same, in the same order");
    }
    let count: usize = answered.iter().map(Vec::len).sum();
    println!("{cycles} times killed: {count} answered, {} kept", kept.len());
    assert!(count > 0);
}
