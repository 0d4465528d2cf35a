//! Many subscribers, in a few threads, and what they see of a run.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use mio::{Events, Poll};

use super::arrivals::{Arrivals, Course};
use super::latency::Latencies;
use super::mark::Clock;
use super::progress::Progress;
use super::subscriber::{Subscriber, Tally};
use super::usage::Usage;

/// How subscribers come.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    pub(super) server: SocketAddr,
    pub(super) request: Vec<u8>,
    pub(super) subscribers: u32,
    /// At most so many have no answer yet.
    pub(super) at_once: u32,
    pub(super) threads: u32,
}

/// Subscribers that have come.
#[derive(Debug)]
pub(super) struct Crowd {
    shards: Vec<Shard>,
    clock: Clock,
}

/// How they have come.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) opened: u32,
    /// Those that got no stream.
    pub(super) failed: u32,
    pub(super) failure: Option<String>,
    /// From the first attempt to the last stream.
    pub(super) seconds: f64,
    /// From a connection's beginning to the answer's head.
    pub(super) latencies: Latencies,
}

/// A run to be watched.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub(super) course: Course,
    /// Publishers wait for subscribers.
    pub(super) windowed: bool,
    /// The server's processes.
    pub(super) pids: &'a [u32],
    /// How many publications are answered, when it is that what is shown.
    pub(super) publications: Option<u64>,
}

/// What they have seen of a run.
#[derive(Debug)]
pub(super) struct Seen<T> {
    pub(super) expected: u64,
    pub(super) delivered: u64,
    pub(super) repeated: u64,
    /// Streams that ended meanwhile.
    pub(super) closed: u32,
    pub(super) fault: Option<String>,
    pub(super) latencies: Latencies,
    pub(super) reads: u64,
    pub(super) bytes: u64,
    /// From the beginning to the last arrival.
    pub(super) seconds: f64,
    /// What the publishers have to say.
    pub(super) published: T,
    pub(super) server: Option<(Usage, Usage)>,
    pub(super) own: Option<(Usage, Usage)>,
}

impl Crowd {
    /// Lets all come, and ends when each has its stream or has failed.
    ///
    /// # Errors
    /// When this machine lacks what they need.
    pub(super) fn gather(
        plan: &Gathering,
        course: Course,
        clock: Clock,
        progress: &mut Progress,
    ) -> Result<(Self, Connected)> {
        course.check(plan.subscribers)?;
        let threads = plan.threads.min(plan.subscribers).max(1);
        let shard = |number| Shard::new(plan, number, threads, course);
        let mut shards = (0..threads).map(shard).collect::<Result<Vec<_>>>()?;
        let standing = Standing::new(&shards, 0, clock, false);
        let begin = clock.now();
        progress.restart();
        thread::scope(|scope| {
            for shard in &mut shards {
                let (standing, at_once) = (&standing, plan.at_once.div_ceil(threads));
                scope.spawn(move || {
                    shard.gather(at_once as usize, standing);
                    standing.leave();
                });
            }
            standing.wait(|| {
                let opened = standing.delivered.load(Ordering::Relaxed);
                progress.show("connecting", opened, plan.subscribers.into());
            });
        });
        let mut connected =
            Connected { opened: 0, failed: 0, failure: None, seconds: 0.0, latencies: Latencies::new() };
        let mut last = begin;
        for shard in &mut shards {
            if let Some(error) = shard.error.take() {
                return Err(error);
            }
            connected.opened += u32::try_from(shard.open).expect("not more than there are");
            connected.failed += shard.failed + shard.closed;
            connected.failure = connected.failure.or_else(|| shard.failure.take());
            connected.latencies.add(&shard.connecting);
            last = last.max(shard.last_opened);
        }
        connected.seconds = (last - begin).as_secs_f64();
        Ok((Self { shards, clock }, connected))
    }

    /// No subscribers at all.
    pub(super) fn nobody(clock: Clock) -> Self {
        Self { shards: Vec::new(), clock }
    }

    /// Forgets what has arrived; this is what is to come.
    pub(super) fn expect(&mut self, course: Course) {
        for shard in &mut self.shards {
            shard.expect(course);
        }
    }

    /// Watches while something is published, until everybody has everything or nothing more comes.
    ///
    /// # Errors
    /// Those of the publishers; when the server's process has gone.
    pub(super) fn watch<T: Send>(
        &mut self,
        Watch { course, windowed, pids, publications }: Watch<'_>,
        progress: &mut Progress,
        publish: impl FnOnce(&Standing) -> Result<T> + Send,
    ) -> Result<Seen<T>> {
        let mut standing = Standing::new(&self.shards, course.publishers, self.clock, windowed);
        *standing.working.get_mut() += 1;
        let expected = course.total() * self.shards.iter().map(|shard| shard.expected() as u64).sum::<u64>();
        let own = [std::process::id()];
        // What the load itself costs is told where the system says it.
        let before = (Usage::of_any(pids)?, Usage::of(&own).ok());
        let begin = self.clock.now();
        progress.restart();
        let (published, after) = thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                // Whatever becomes of it, nobody waits for it for ever.
                let _leave = Leave(&standing);
                let published = publish(&standing);
                standing.publishers_are_done(published.is_err());
                published
            });
            for (number, shard) in self.shards.iter_mut().enumerate() {
                let standing = &standing;
                scope.spawn(move || {
                    shard.watch(number, standing);
                    standing.leave();
                    shard.linger(standing);
                });
            }
            standing.wait(|| match publications {
                None => progress.show("arrived", standing.delivered.load(Ordering::Relaxed), expected),
                Some(all) => progress.show("published", standing.answered.load(Ordering::Relaxed), all),
            });
            let published = publishing.join().unwrap_or_else(|_| Err(anyhow!("the publisher has panicked")));
            (published, (Usage::of_any(pids), Usage::of(&own).ok()))
        });
        let mut seen = Seen {
            expected,
            delivered: 0,
            repeated: 0,
            closed: 0,
            fault: None,
            latencies: Latencies::new(),
            reads: 0,
            bytes: 0,
            seconds: 0.0,
            published: published?,
            server: before.0.zip(after.0?),
            own: before.1.zip(after.1),
        };
        let mut last = begin;
        for shard in &mut self.shards {
            if let Some(error) = shard.error.take() {
                return Err(error);
            }
            seen.delivered += shard.arrivals.delivered;
            seen.repeated += shard.arrivals.repeated;
            seen.fault = seen.fault.or_else(|| shard.arrivals.fault.take());
            seen.closed += shard.closed;
            seen.latencies.add(&shard.arrivals.latencies);
            seen.reads += shard.tally.reads;
            seen.bytes += shard.tally.bytes;
            last = last.max(shard.arrivals.last);
        }
        seen.seconds = (last - begin).as_secs_f64();
        Ok(seen)
    }

    /// Watches for so long while nothing is published, and says how many streams have ended meanwhile.
    ///
    /// # Errors
    /// When the system does not let it wait.
    pub(super) fn idle(&mut self, time: Duration, what: &str, progress: &mut Progress) -> Result<u32> {
        self.expect(Course::NONE);
        let begin = self.clock.now();
        progress.restart();
        while self.clock.now() - begin < time {
            progress.show_time(what, time);
            for shard in &mut self.shards {
                shard.turn(Duration::from_millis(20), self.clock)?;
            }
        }
        Ok(self.shards.iter().map(|shard| shard.closed).sum())
    }
}

/// How far a run is, for those who publish and those who show it.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) clock: Clock,
    /// For each shard and publisher, before which event none of its subscribers waits for any.
    complete: Vec<Vec<AtomicU32>>,
    /// Events that have arrived, or streams that have begun.
    delivered: AtomicU64,
    /// Publications that have been answered, where publishers count them.
    answered: AtomicU64,
    /// Publishers, and shards, that are not done.
    working: AtomicUsize,
    failed: AtomicBool,
    /// When publishers were done, in ns; 0 before.
    done: AtomicU64,
    /// Publishers wait for `complete`.
    windowed: bool,
    lock: Mutex<()>,
    moved: Condvar,
    main: Thread,
}

impl Standing {
    fn new(shards: &[Shard], publishers: u32, clock: Clock, windowed: bool) -> Self {
        let complete = || (0..publishers).map(|_| AtomicU32::new(0)).collect();
        Self {
            clock,
            complete: shards.iter().map(|_| complete()).collect(),
            delivered: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            working: AtomicUsize::new(shards.len()),
            failed: AtomicBool::new(false),
            done: AtomicU64::new(0),
            windowed,
            lock: Mutex::new(()),
            moved: Condvar::new(),
            main: thread::current(),
        }
    }

    /// Waits until nobody waits for this event of a publisher any more.
    ///
    /// # Errors
    /// When somebody does too long.
    pub(super) fn everybody_has(&self, publisher: u32, event: u32) -> Result<()> {
        let deadline = self.clock.now() + PATIENCE;
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |shard: &Vec<AtomicU32>| shard[publisher as usize].load(Ordering::Acquire) > event;
        while !self.complete.iter().all(has) {
            ensure!(
                self.clock.now() < deadline,
                "event {event} of publisher {publisher} has not come to everyone in {PATIENCE:?}"
            );
            let waited = self.moved.wait_timeout(guard, Duration::from_millis(100));
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// So many more publications have been answered.
    pub(super) fn answered(&self, events: u64) {
        self.answered.fetch_add(events, Ordering::Relaxed);
    }

    fn update(&self, number: usize, arrivals: &Arrivals) {
        if !self.windowed {
            return;
        }
        let mut moved = false;
        for (shared, complete) in self.complete[number].iter().zip(arrivals.complete()) {
            if shared.load(Ordering::Relaxed) != *complete {
                shared.store(*complete, Ordering::Release);
                moved = true;
            }
        }
        if moved {
            // Who has looked but does not wait yet holds the lock.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.moved.notify_all();
        }
    }

    fn publishers_are_done(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
        let now = u64::try_from(self.clock.now().as_nanos()).unwrap_or(u64::MAX);
        self.done.store(now.max(1), Ordering::Release);
    }

    /// When publishers were done, if they are.
    fn done(&self) -> Option<Duration> {
        Some(self.done.load(Ordering::Acquire)).filter(|done| *done > 0).map(Duration::from_nanos)
    }

    fn leave(&self) {
        self.working.fetch_sub(1, Ordering::AcqRel);
        self.main.unpark();
    }

    /// Waits until all shards are done, and shows meanwhile how far they are.
    fn wait(&self, mut show: impl FnMut()) {
        while self.working.load(Ordering::Acquire) > 0 {
            show();
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// Leaves when it is dropped, also by a panic.
struct Leave<'a>(&'a Standing);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.publishers_are_done(true);
        }
        self.0.leave();
    }
}

/// The subscribers of one thread.
#[derive(Debug)]
struct Shard {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    server: SocketAddr,
    request: Vec<u8>,
    /// The numbers of its members among all.
    range: Range<u32>,
    members: Vec<Subscriber>,
    arrivals: Arrivals,
    tally: Tally,
    /// Members whose streams are open, and who were when a run began.
    open: usize,
    expected: usize,
    /// Members that got no stream, and why the first did not.
    failed: u32,
    failure: Option<String>,
    /// Streams that have ended since a run began.
    closed: u32,
    connecting: Latencies,
    last_opened: Duration,
    /// What kept it from going on.
    error: Option<anyhow::Error>,
}

impl Shard {
    fn new(plan: &Gathering, number: u32, of: u32, course: Course) -> Result<Self> {
        let share = |number: u32| u64::from(plan.subscribers) * u64::from(number) / u64::from(of);
        let range = u32::try_from(share(number))?..u32::try_from(share(number + 1))?;
        Ok(Self {
            poll: Poll::new().context("no epoll")?,
            events: Events::with_capacity(4096),
            buffer: vec![0; 256 << 10],
            server: plan.server,
            request: plan.request.clone(),
            members: Vec::with_capacity(range.len()),
            arrivals: Arrivals::new(course, range.clone()),
            tally: Tally::default(),
            open: 0,
            expected: range.len(),
            range,
            failed: 0,
            failure: None,
            closed: 0,
            connecting: Latencies::new(),
            last_opened: Duration::ZERO,
            error: None,
        })
    }

    fn expected(&self) -> usize {
        self.expected
    }

    fn expect(&mut self, course: Course) {
        self.arrivals = Arrivals::new(course, self.range.clone());
        (self.tally, self.closed, self.expected) = (Tally::default(), 0, self.open);
        for (index, member) in self.members.iter().enumerate() {
            if !member.is_open() {
                self.arrivals.close(index, "before");
            }
        }
        self.arrivals.fault = None;
    }

    fn gather(&mut self, at_once: usize, standing: &Standing) {
        let clock = standing.clock;
        let mut heard = (clock.now(), 0);
        loop {
            let settled = self.open + self.failed as usize + self.closed as usize;
            let waiting = self.members.len().saturating_sub(settled);
            let may = at_once.saturating_sub(waiting).min(self.range.len() - self.members.len()).min(STRETCH);
            if waiting == 0 && may == 0 {
                return;
            }
            for _ in 0..may {
                match self.subscribe(clock) {
                    Ok(subscriber) => self.members.push(subscriber),
                    Err(error) => {
                        let number = self.range.start as usize + self.members.len();
                        self.error = Some(error.context(format!("subscriber {number}")));
                        return;
                    }
                }
            }
            let wait = if may > 0 { Duration::ZERO } else { Duration::from_millis(100) };
            let before = self.open;
            if let Err(error) = self.turn(wait, clock) {
                self.error = Some(error);
                return;
            }
            standing.delivered.fetch_add((self.open.saturating_sub(before)) as u64, Ordering::Relaxed);
            if settled != heard.1 || may > 0 {
                heard = (clock.now(), settled);
            } else if clock.now() - heard.0 > PATIENCE {
                self.give_up();
                return;
            }
        }
    }

    fn subscribe(&self, clock: Clock) -> Result<Subscriber> {
        let (first, index) = (self.range.start as usize, self.members.len());
        let registry = self.poll.registry();
        Subscriber::connect(self.server, first, index, &self.request, registry, clock)
    }

    /// Nothing more is expected of those without an answer.
    fn give_up(&mut self) {
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.is_waiting() {
                member.close();
                self.failed += 1;
                self.arrivals.close(index, "no answer");
                self.failure.get_or_insert_with(|| format!("no answer in {PATIENCE:?}"));
            }
        }
    }

    fn watch(&mut self, number: usize, standing: &Standing) {
        let mut told = 0;
        while !self.arrivals.is_complete() {
            if let Err(error) = self.turn(Duration::from_millis(100), standing.clock) {
                self.error = Some(error);
                return;
            }
            standing.update(number, &self.arrivals);
            standing.delivered.fetch_add(self.arrivals.delivered - told, Ordering::Relaxed);
            told = self.arrivals.delivered;
            let quiet = standing.done().map(|done| done.max(self.arrivals.last) + QUIET);
            if quiet.is_some_and(|quiet| standing.clock.now() > quiet)
                || standing.failed.load(Ordering::Acquire)
            {
                return;
            }
        }
        standing.update(number, &self.arrivals);
    }

    /// Sees what comes after everything: what comes twice.
    fn linger(&mut self, standing: &Standing) {
        let until = standing.clock.now() + LINGER;
        while self.error.is_none() && standing.clock.now() < until {
            self.error = self.turn(LINGER / 4, standing.clock).err();
        }
    }

    /// Waits, and reads all that has come.
    fn turn(&mut self, wait: Duration, clock: Clock) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("cannot wait for subscribers")?,
        }
        for event in &self.events {
            let index = event.token().0;
            let member = &mut self.members[index];
            let was_open = member.is_open();
            let (tally, arrivals) = (&mut self.tally, &mut self.arrivals);
            let turn = member.turn(event, &self.request, &mut self.buffer, clock, tally, arrivals);
            if let Some(time) = turn.opened {
                self.open += 1;
                self.connecting.record(time);
                self.last_opened = clock.now();
            }
            let Some(why) = turn.ended else { continue };
            if was_open || turn.opened.is_some() {
                self.open -= 1;
                self.closed += 1;
            } else {
                self.failed += 1;
            }
            self.failure.get_or_insert_with(|| why.clone());
            self.arrivals.close(index, &why);
        }
        Ok(())
    }
}

/// How long an answer, or an event, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What has not come after this long is lost.
const QUIET: Duration = Duration::from_secs(3);

/// How long one waits for what should not come.
const LINGER: Duration = Duration::from_millis(200);

/// Subscribers that connect before one looks who has been answered.
const STRETCH: usize = 100;
