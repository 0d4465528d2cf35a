//! Honest clients of the hostile test: publishers, subscribers, and clients that reconnect.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::ledger::{Ledger, Update};
use super::{PUBLISHERS, Target};
use crate::hub::{Answer, PATH, PATIENCE};
use crate::stream::{Next, Stream};

/// Updates in a burst of the heavy publisher.
pub(crate) const BURST: usize = 5_000;

/// Publications that were answered 200: the publisher's name in the updates, and their number.
pub(crate) type Published = Vec<(u32, u64)>;

/// Summary of latencies.
pub(crate) struct Summary {
    pub(crate) events: u64,
    pub(crate) p99: Duration,
}

/// Publishes 40 MB for replays.
pub(crate) fn fill(target: &Target) {
    let line = format!("{{\"topic\":\"bulk\",\"data\":\"{}\"}}\n", "x".repeat(4_000));
    for _ in 0..100 {
        let answer = send(target, "application/x-ndjson", &line.repeat(100)).expect("the hub answers");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Publishes bursts to a topic that no honest client reads, until the test is over; returns the number of
/// accepted updates.
pub(crate) fn start_bursts(target: &Target) -> JoinHandle<u64> {
    let target = target.clone();
    let burst = "{\"topic\":\"burst\",\"data\":\"of many\"}\n".repeat(BURST);
    thread::spawn(move || {
        let mut accepted = 0;
        while !target.is_over() {
            let answer = send(&target, "application/x-ndjson", &burst);
            accepted += u64::from(answer.is_ok_and(|answer| answer.status == 200));
            thread::sleep(Duration::from_secs(1));
        }
        accepted
    })
}

fn send(target: &Target, media_type: &str, body: &str) -> std::io::Result<Answer> {
    let mut socket = TcpStream::connect(target.addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
         content-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
        target.writer,
        body.len()
    );
    socket.write_all(head.as_bytes())?;
    socket.write_all(body.as_bytes())?;
    Answer::read(&mut socket)
}

/// Publishes private updates to the honest subscribers, two per second.
///
/// The publishers take turns: independent ones do not publish at the same moment either.
pub(crate) struct Publisher {
    thread: JoinHandle<Published>,
    stop: Sender<()>,
}

impl Publisher {
    pub(crate) fn start(number: usize, target: &Target) -> Self {
        let target = target.clone();
        let (stop, stopped) = channel();
        Self { thread: thread::spawn(move || publish(number as u32, &target, &stopped)), stop }
    }

    pub(crate) fn finish(self) -> Published {
        drop(self.stop);
        self.thread.join().expect("a publisher does not panic")
    }
}

/// Time between two updates of a publisher.
const INTERVAL: Duration = Duration::from_millis(500);

fn publish(first: u32, target: &Target, stopped: &Receiver<()>) -> Published {
    let mut published = vec![(first, 0)];
    thread::sleep(INTERVAL / PUBLISHERS as u32 * first);
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
        let (publisher, number) = published[published.len() - 1];
        let sent = target.start.elapsed().as_micros() as u64;
        let data = Update { publisher, number, sent }.data();
        let form = format!("topic=honest&private=on&data={}", data.replace(' ', "+"));
        match send(target, "application/x-www-form-urlencoded", &form) {
            Ok(answer) if answer.status == 200 => published.last_mut().expect("one is there").1 += 1,
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => panic!("an honest publisher was refused: {answer:?}"),
            // It is unknown whether the hub has stored the update, so its number is not used again: the
            // publisher takes another name.
            Err(_) => published.push((publisher + 1_000, 0)),
        }
    }
    published
}

/// Subscription of an honest subscriber that resumes after this id, or begins now without one.
fn subscribe(target: &Target, last: &str) -> std::io::Result<Stream> {
    let after = if last.is_empty() { String::new() } else { format!("last-event-id: {last}\r\n") };
    let request = format!(
        "GET {PATH}?topic=honest HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{after}\r\n",
        target.reader
    );
    Stream::over(TcpStream::connect(target.addr)?, &request)
}

/// Number of a subscriber, and the stream with which it resumes.
type Returned = (usize, Stream);

/// Subscribers that stay connected, and resume when the hub ends their stream.
pub(crate) struct Subscribers {
    target: Target,
    poll: Poll,
    all: Vec<(Option<Stream>, Ledger)>,
    latency: Histogram<u64>,
    returning: (Sender<Returned>, Receiver<Returned>),
    returns: u64,
}

impl Subscribers {
    pub(crate) fn connect(target: &Target, many: usize) -> Self {
        let mut subscribers = Self {
            target: target.clone(),
            poll: Poll::new().expect("the system gives an epoll"),
            all: Vec::new(),
            latency: Histogram::new(3).expect("three digits"),
            returning: channel(),
            returns: 0,
        };
        for number in 0..many {
            let stream = subscribe(target, "").expect("an honest subscriber is served");
            subscribers.all.push((None, Ledger::default()));
            subscribers.take(number, stream);
        }
        subscribers
    }

    fn take(&mut self, number: usize, stream: Stream) {
        stream.set_nonblocking();
        let fd = stream.as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), Token(number), Interest::READABLE)
            .expect("the socket is open");
        self.all[number].0 = Some(stream);
        self.read(number, true);
    }

    /// Receives for this time.
    pub(crate) fn follow(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Receives until each subscriber has all published updates.
    pub(crate) fn expect(&mut self, published: &[Published]) {
        let end = Instant::now() + PATIENCE;
        let has_all = |ledger: &Ledger| {
            published.iter().flatten().all(|(name, count)| *count == 0 || ledger.has(*name, *count))
        };
        while !self.all.iter().all(|(_, ledger)| has_all(ledger)) {
            let missing = self.all.iter().filter(|(_, ledger)| !has_all(ledger)).count();
            assert!(Instant::now() < end, "{missing} subscribers have not received all: {published:?}");
            self.turn();
        }
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(1024);
        self.poll.poll(&mut events, Some(Duration::from_millis(20))).expect("it is an epoll");
        for event in &events {
            self.read(event.token().0, event.is_read_closed());
        }
        while let Ok((number, stream)) = self.returning.1.try_recv() {
            self.take(number, stream);
        }
    }

    /// Reads all available events, and the end of the stream if the hub may have closed it.
    fn read(&mut self, number: usize, to_end: bool) {
        let (slot, ledger) = &mut self.all[number];
        let Some(stream) = slot else { return };
        loop {
            match stream.wait(Duration::from_millis(1)) {
                Next::Event(event) => {
                    if let Some(update) = ledger.record(event) {
                        let now = self.target.start.elapsed().as_micros() as u64;
                        self.latency.record(now - update.sent).expect("it grows");
                    }
                    if !to_end && stream.is_empty() {
                        return;
                    }
                }
                Next::Silence => return,
                Next::End => break,
            }
        }
        // Dropping the stream removes it from the epoll.
        *slot = None;
        self.returns += 1;
        let (target, last, returned) = (self.target.clone(), ledger.last.clone(), self.returning.0.clone());
        thread::spawn(move || {
            while !target.is_over() {
                thread::sleep(Duration::from_millis(100));
                if let Ok(stream) = subscribe(&target, &last) {
                    return drop(returned.send((number, stream)));
                }
            }
        });
    }
}

pub(crate) fn report_deliveries(subscribers: &[Subscribers]) -> Summary {
    let mut latency = Histogram::<u64>::new(3).expect("three digits");
    for some in subscribers {
        latency.add(&some.latency).expect("they count the same");
    }
    let ledgers = || subscribers.iter().flat_map(|some| &some.all).map(|(_, ledger)| ledger);
    let events = ledgers().map(|ledger| ledger.events).sum();
    let notices: u64 = ledgers().map(|ledger| ledger.notices).sum();
    let returns: u64 = subscribers.iter().map(|some| some.returns).sum();
    println!(
        "{events} deliveries to {} subscribers, which resumed {returns} times and received {notices} notices",
        ledgers().count()
    );
    print_quantiles("a delivery takes", &latency);
    Summary { events, p99: Duration::from_micros(latency.value_at_quantile(0.99)) }
}

/// A client that leaves and resumes, again and again.
pub(crate) struct Reconnecting {
    thread: JoinHandle<(Ledger, Histogram<u64>)>,
    stop: Sender<()>,
}

impl Reconnecting {
    pub(crate) fn start(target: &Target) -> Self {
        let target = target.clone();
        let (stop, stopped) = channel();
        Self { thread: thread::spawn(move || connect_and_leave(&target, &stopped)), stop }
    }

    pub(crate) fn finish(self) -> (Ledger, Histogram<u64>) {
        drop(self.stop);
        self.thread.join().expect("a client that reconnects does not panic")
    }
}

fn connect_and_leave(target: &Target, stopped: &Receiver<()>) -> (Ledger, Histogram<u64>) {
    let mut ledger = Ledger::default();
    let mut resumes = Histogram::new(3).expect("three digits");
    while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
        stopped.recv_timeout(Duration::from_millis(fastrand::u64(400..800)))
    {
        let (begin, resumes_now) = (Instant::now(), !ledger.last.is_empty());
        let Ok(mut stream) = subscribe(target, &ledger.last) else { continue };
        // Ten publishers have published meanwhile, so the first event is a missed one.
        let mut is_first = resumes_now;
        while begin.elapsed() < Duration::from_secs(1) {
            match stream.wait(Duration::from_millis(100)) {
                Next::Event(event) => {
                    ledger.record(event);
                    if std::mem::take(&mut is_first) {
                        resumes.record(begin.elapsed().as_micros() as u64).expect("it grows");
                    }
                }
                Next::Silence => {}
                Next::End => break,
            }
        }
    }
    (ledger, resumes)
}

pub(crate) fn report_resumes(clients: &[(Ledger, Histogram<u64>)]) -> Summary {
    let mut all = Histogram::<u64>::new(3).expect("three digits");
    for (_, resumes) in clients {
        all.add(resumes).expect("they count the same");
    }
    let notices: u64 = clients.iter().map(|(ledger, _)| ledger.notices).sum();
    println!("{} resumes by {} clients, which received {notices} notices", all.len(), clients.len());
    print_quantiles("a resume takes, up to its first event,", &all);
    Summary { events: all.len(), p99: Duration::from_micros(all.value_at_quantile(0.99)) }
}

fn print_quantiles(what: &str, histogram: &Histogram<u64>) {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    println!("{what} {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (most)", at(0.5), at(0.99), at(1.0));
}
