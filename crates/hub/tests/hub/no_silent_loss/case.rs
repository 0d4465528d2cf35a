//! Random case: store, rules, and steps.

use std::time::Duration;

use fastrand::Rng;
use ssekit_hub::fanout::Overtaken;
use ssekit_log::{Durability, Keep, Retention, Rule};
use ssekit_mercure::Selector;

use super::reader::Reader;

/// Topic of the last update. It has a rule of its own, so that no other rule drops it.
pub(super) const END: &str = "end";

/// Random case.
#[derive(Debug)]
pub(super) struct Case {
    /// `None` for the log in memory.
    pub(super) disk: Option<Durability>,
    pub(super) rules: Vec<(&'static str, Keep)>,
    pub(super) overtaken: Overtaken,
    pub(super) threads: usize,
    pub(super) window: usize,
    pub(super) pending: usize,
    pub(super) steps: Vec<Step>,
    pub(super) readers: Vec<Reader>,
}

/// Step of a case.
#[derive(Debug)]
pub(super) enum Step {
    /// Concurrent publishers, each with its bursts.
    Publish(Vec<Vec<Burst>>),
    /// Time passes for the log.
    Wait(Duration),
    /// The hub stops, and starts on the same log.
    Restart,
    /// The hub ends as by `kill -9`, and starts on the files that it has left. In memory it restarts.
    Kill,
    /// While the hub's feed is held up, more is appended past the hub than the log keeps in memory for it.
    Flood,
}

/// Updates that one publisher sends together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub(super) form: Form,
    pub(super) count: usize,
    /// Bytes of data besides the number.
    pub(super) size: usize,
    pub(super) private: bool,
    pub(super) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One request per update.
    Single,
    /// One request per update, with an id of the publisher.
    Named,
    /// One request for all updates.
    Lines,
}

impl Case {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let disk = rng.bool().then(|| match rng.u8(..3) {
            0 => Durability::Memory(Duration::from_secs(3600)),
            1 => Durability::Periodic(Duration::from_millis(100)),
            _ => Durability::Sync,
        });
        let rules = (0..rng.usize(..=3)).map(|_| (*rng.choice(TOPICS).unwrap(), keep(rng))).collect();
        let mut left = UPDATES;
        let mut steps: Vec<_> = (0..rng.usize(2..=7)).map(|_| step(rng, &mut left)).collect();
        steps.push(Step::Publish(vec![vec![burst(rng, &mut left)]]));
        let bursts = steps.iter().map(Step::bursts).sum();
        let readers = (0..rng.usize(2..=5)).map(|_| Reader::draw(rng, bursts)).collect();
        Self {
            disk,
            rules,
            overtaken: if rng.bool() { Overtaken::Close } else { Overtaken::Skip },
            threads: rng.usize(1..=3),
            window: *rng.choice(&[1, 16 << 10, 4 << 20]).unwrap(),
            pending: *rng.choice(&[4 << 10, 64 << 10]).unwrap(),
            steps,
            readers,
        }
    }

    /// Retention rules of the log.
    pub(super) fn retention(&self) -> Retention {
        let last = Keep { last_per_topic: Some(1), ..Keep::ALL };
        let mut rules = vec![Rule::new(END, |topic| topic == END, last)];
        rules.extend(self.rules.iter().enumerate().map(|(number, (topic, keep))| {
            let selector = Selector::parse(topic).unwrap();
            Rule::new(format!("{number} {topic}"), move |topic| selector.matches(topic), *keep)
        }));
        Retention::new(rules, Keep::ALL).unwrap()
    }

    /// Rule for updates with this canonical topic.
    pub(super) fn keep(&self, topic: &str) -> Keep {
        self.rules.iter().find(|(pattern, _)| matches(pattern, topic)).map_or(Keep::ALL, |(_, keep)| *keep)
    }

    /// Whether the log drops nothing, so that no subscriber misses an event.
    pub(super) fn keeps_all(&self) -> bool {
        let answers_early = matches!(self.disk, Some(Durability::Memory(_)));
        let killed = self.steps.iter().any(|step| matches!(step, Step::Kill));
        self.rules.is_empty() && !(answers_early && killed)
    }
}

impl Step {
    pub(super) fn bursts(&self) -> usize {
        match self {
            Self::Publish(publishers) => publishers.iter().map(Vec::len).sum(),
            _ => 0,
        }
    }
}

fn step(rng: &mut Rng, left: &mut usize) -> Step {
    match rng.u8(..24) {
        0..=13 => {
            let publishers =
                (0..rng.usize(1..=3)).map(|_| (0..rng.usize(1..=3)).map(|_| burst(rng, left)).collect());
            Step::Publish(publishers.collect())
        }
        14..=16 => Step::Wait(AGE.mul_f64(rng.f64() * 1.5)),
        17..=19 => Step::Restart,
        20..=22 => Step::Kill,
        _ => Step::Flood,
    }
}

fn burst(rng: &mut Rng, left: &mut usize) -> Burst {
    let form = *rng.choice(&[Form::Single, Form::Named, Form::Lines, Form::Lines, Form::Lines]).unwrap();
    let most = if form == Form::Lines { 10_000 } else { 30 };
    let count = logarithmic(rng, most).min((*left).max(1));
    *left = left.saturating_sub(count);
    // A request has at most 1 MiB.
    let room = if form == Form::Lines { (900 << 10) / count - 80 } else { 20_000 };
    let size = logarithmic(rng, 20_000).min(room);
    Burst { form, count, size, private: rng.u8(..6) == 0, seed: rng.u64(..) }
}

fn keep(rng: &mut Rng) -> Keep {
    let mut keep = Keep::ALL;
    for _ in 0..rng.usize(1..=2) {
        match rng.u8(..4) {
            0 => keep.records = Some(logarithmic(rng, 3000) as u64),
            1 => keep.bytes = Some(logarithmic(rng, 300_000) as u64),
            2 => keep.age = Some(AGE),
            _ => keep.last_per_topic = Some(rng.usize(1..=3)),
        }
    }
    keep
}

/// Draws a number from 1 to `most`, with each order of magnitude equally likely.
fn logarithmic(rng: &mut Rng, most: usize) -> usize {
    ((most as f64).powf(rng.f64()) as usize).clamp(1, most)
}

/// Draws the canonical and the alternate topics of an update.
pub(super) fn topics(rng: &mut Rng) -> Vec<String> {
    let canonical = if rng.bool() { format!("/t/{}", rng.u8(..4)) } else { format!("/u/{}", rng.u8(..2)) };
    let alternate = (rng.u8(..3) == 0).then(|| format!("/alt/{}", rng.u8(..2)));
    [canonical].into_iter().chain(alternate).collect()
}

/// Whether a topic, template or `*` of this test matches a topic.
pub(super) fn matches(pattern: &str, topic: &str) -> bool {
    match pattern.strip_suffix("{x}") {
        Some(start) => topic.strip_prefix(start).is_some_and(|rest| !rest.contains('/')),
        None => pattern == "*" || pattern == topic,
    }
}

/// Topics and templates of rules.
const TOPICS: &[&str] = &["*", "/t/{x}", "/u/{x}", "/t/0", "/u/1"];
const AGE: Duration = Duration::from_secs(10);
/// Maximum number of updates of a case; each burst adds at least one.
const UPDATES: usize = 12_000;
