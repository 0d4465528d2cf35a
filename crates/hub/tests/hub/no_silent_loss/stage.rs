//! Execution of a case: the hub, its restarts, and the publishers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use futures_util::future::join_all;
use ssekit_log::{Clock, DurableLog, DurableOptions, Limit, Log, MemoryLog, Position, Record};
use ssekit_mercure::Ids;
use tempfile::TempDir;
use tokio::sync::{RwLock, watch};

use super::case::{Burst, Case, END, Form, Step, topics};
use super::published::{Noting, Published};
use crate::client::{Connection, Request};
use crate::setup::{HUB, Setup, TestHub, encoded, publication, token, within};

/// The hub of a case, and the progress of the case.
pub(super) struct Stage {
    /// Locked for writing while the hub restarts.
    pub(super) hub: RwLock<TestHub>,
    pub(super) published: Arc<Published>,
    /// Number of readers whose first stream has begun.
    pub(super) joined: watch::Sender<usize>,
    bursts: watch::Sender<usize>,
    log: RwLock<Arc<Noting>>,
    folder: TempDir,
    /// Milliseconds by which the log's clock has moved.
    time: Arc<AtomicU64>,
    next: AtomicUsize,
}

impl Stage {
    pub(super) async fn start(case: &Case) -> Self {
        let (folder, time) = (TempDir::new().unwrap(), Arc::default());
        let published = Arc::<Published>::default();
        let log: Arc<dyn Log> = match case.disk {
            Some(_) => open(case, &folder.path().join("0"), &time).await,
            None => Arc::new(MemoryLog::with_clock(case.retention(), clock(&time)).unwrap()),
        };
        let log = Noting::new(log, Arc::clone(&published));
        Self {
            hub: RwLock::new(hub(case, &log).await),
            published,
            joined: watch::Sender::new(0),
            bursts: watch::Sender::new(0),
            log: RwLock::new(log),
            folder,
            time,
            next: AtomicUsize::new(0),
        }
    }

    /// Last event ID of a record.
    pub(super) fn id(&self, position: Position, record: &Record) -> String {
        let epoch = self.log.try_read().expect("the hub does not restart now").epoch();
        record.id.as_deref().map_or_else(|| Ids::new(epoch).id(position), str::to_owned)
    }

    pub(super) fn bursts(&self) -> usize {
        *self.bursts.borrow()
    }

    /// Waits until this number of bursts is published, or the last update.
    pub(super) async fn until_burst(&self, count: usize) {
        self.bursts.subscribe().wait_for(|bursts| *bursts >= count).await.unwrap();
    }

    /// Runs the steps of the case, then publishes the last update.
    pub(super) async fn play(&self, case: &Case) {
        for (number, step) in case.steps.iter().enumerate() {
            match step {
                Step::Publish(publishers) => {
                    join_all(publishers.iter().map(|bursts| self.publish(bursts))).await;
                }
                Step::Wait(time) => {
                    self.time.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
                }
                Step::Restart => self.restart(case, None, number).await,
                Step::Kill => self.restart(case, case.disk.map(|_| "killed"), number).await,
                Step::Flood => self.flood().await,
            }
        }
        let all_joined = |joined: &usize| *joined == case.readers.len();
        within("every reader has begun", self.joined.subscribe().wait_for(all_joined)).await.unwrap();
        let data = format!("{} {END}", self.next(1));
        self.hub.read().await.publish(&format!("topic={END}&data={}", encoded(&data))).await;
        self.bursts.send_replace(usize::MAX);
    }

    fn next(&self, count: usize) -> usize {
        self.next.fetch_add(count, Ordering::SeqCst)
    }

    async fn publish(&self, bursts: &[Burst]) {
        for burst in bursts {
            let addr = self.hub.read().await.addr;
            let mut connection = Connection::open(addr).await;
            for (request, count) in self.requests(burst) {
                let answer = connection.ask(&request).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(answer.body.lines().count(), count);
            }
            self.bursts.send_modify(|bursts| *bursts += 1);
        }
    }

    /// Requests of a burst, and the number of updates of each.
    fn requests(&self, burst: &Burst) -> Vec<(Request, usize)> {
        let mut rng = Rng::with_seed(burst.seed);
        let first = self.next(burst.count);
        let filler = "x".repeat(burst.size);
        if burst.form == Form::Lines {
            let line = |number| {
                let (topics, private) = (topics(&mut rng), burst.private);
                format!("{{\"topic\":{topics:?},\"data\":\"{number} {filler}\",\"private\":{private}}}\n")
            };
            let lines: String = (first..first + burst.count).map(line).collect();
            let request = Request::post(HUB, lines).bearer(&token(&["*"], &[]));
            return vec![(request.with("content-type", "application/x-ndjson"), burst.count)];
        }
        let form = |number| {
            let topics: String = topics(&mut rng).iter().map(|t| format!("topic={}&", encoded(t))).collect();
            let private = if burst.private { "&private=on" } else { "" };
            let id = if burst.form == Form::Named { format!("&id=own-{number}") } else { String::new() };
            (publication(&format!("{topics}data={number}%20{filler}{private}{id}")), 1)
        };
        (first..first + burst.count).map(form).collect()
    }

    /// Stops the hub, and starts it on its log, or on a copy of the files from before the stop.
    async fn restart(&self, case: &Case, copy: Option<&str>, number: usize) {
        let (mut hub, mut log) = (self.hub.write().await, self.log.write().await);
        let folder = self.folder.path();
        let next = folder.join((number + 1).to_string());
        let current = folder.join("current");
        let here = fs::read_to_string(&current).map_or_else(|_| folder.join("0"), Into::into);
        if copy.is_some() {
            copy_all(&here, &next);
        }
        hub.end(Duration::ZERO).await;
        if case.disk.is_some() {
            log.close().await.unwrap();
            let here = if copy.is_some() { next } else { here };
            fs::write(current, here.to_str().unwrap()).unwrap();
            *log = Noting::new(open(case, &here, &self.time).await, Arc::clone(&self.published));
        }
        *hub = self::hub(case, &log).await;
    }

    /// Appends more than the log keeps in memory for its tail, while nobody reads the tail.
    async fn flood(&self) {
        let log = Arc::clone(&*self.log.read().await);
        log.held_up.send_replace(true);
        let mut rng = Rng::with_seed(self.bursts() as u64);
        let filler = "x".repeat(900_000);
        for _ in 0..Record::BATCH_WEIGHT / filler.len() + 5 {
            let topics = topics(&mut rng).into_iter().map(String::into_boxed_str).collect();
            let body = format!("data: {} {filler}\n\n", self.next(1)).into();
            log.append(vec![Record { topics, private: false, id: None, body }]).await.unwrap();
        }
        log.held_up.send_replace(false);
    }

    /// Records in the log, and the position up to which it was read.
    pub(super) async fn held(&self) -> (BTreeMap<Position, Record>, Position) {
        let (mut held, mut after) = (BTreeMap::new(), Position::START);
        loop {
            let limit = Limit { records: 10_000, bytes: 8 << 20 };
            let page = self.log.read().await.read(after, limit).await.unwrap();
            held.extend(page.entries.into_iter().map(|entry| (entry.position, entry.record)));
            if page.end {
                return (held, page.through);
            }
            after = page.through;
        }
    }

    pub(super) async fn end(self) {
        self.hub.into_inner().end(Duration::ZERO).await;
        self.log.into_inner().close().await.unwrap();
    }
}

async fn open(case: &Case, folder: &Path, time: &Arc<AtomicU64>) -> Arc<dyn Log> {
    let options = DurableOptions {
        durability: case.disk.unwrap(),
        retention: case.retention(),
        clock: clock(time),
        ..DurableOptions::default()
    };
    Arc::new(DurableLog::open(folder, options).await.unwrap())
}

fn clock(time: &Arc<AtomicU64>) -> Clock {
    let time = Arc::clone(time);
    let start = SystemTime::now();
    Clock::new(move || start + Duration::from_millis(time.load(Ordering::SeqCst)))
}

async fn hub(case: &Case, log: &Arc<Noting>) -> TestHub {
    let mut setup = Setup { send_buffer: Some(32 << 10), ..Setup::default() };
    setup.fanout.pace.overtaken = case.overtaken;
    (setup.fanout.threads, setup.fanout.window) = (case.threads, case.window);
    setup.fanout.pending = case.pending;
    TestHub::over(Arc::clone(log) as Arc<dyn Log>, setup).await
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_all(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}
