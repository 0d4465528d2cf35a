//! Random subscriber: its stream, pauses and reconnections.

use std::collections::BTreeSet;

use fastrand::Rng;
use ssekit_log::{Position, Record};

use super::case::{END, matches};
use super::published::number;
use super::stage::Stage;
use crate::client::Request;
use crate::setup::{HUB, encoded, token};
use crate::stream::Way;

/// A subscriber.
#[derive(Debug)]
pub(super) struct Reader {
    way: Way,
    topics: &'static [&'static str],
    /// Whether it has a token that grants private updates.
    trusted: bool,
    from: From,
    /// It joins when this number of bursts is published.
    joins: usize,
    /// Size of its receive buffer in bytes.
    room: Option<u32>,
    /// It stops reading after about this number of events, until others are published.
    pauses: Option<usize>,
    /// It reconnects after about this number of events.
    leaves: Option<usize>,
    seed: u64,
}

/// Start of its first stream.
#[derive(Clone, Copy, Debug)]
enum From {
    Now,
    Earliest,
    /// After an update that was published before it joins.
    Known,
}

/// Part of the input of a subscriber.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A stream of the updates after this position.
    Now(Position),
    /// A stream that begins with the earliest update in the log.
    Earliest,
    /// Positions in the log, up to the last one.
    ///
    /// Noted at the first event of a stream that begins with the earliest update, also after a reset, and at
    /// the first event after a gap: the notice covers every record that was dropped before.
    Held(BTreeSet<Position>, Position),
    /// A stream that begins after the update with this position.
    After(Position),
    /// A stream that begins after the last event.
    Resumed,
    /// The event with this number.
    Event(usize),
    Gap,
    Reset,
}

impl Reader {
    pub(super) fn draw(rng: &mut Rng, bursts: usize) -> Self {
        let slow = rng.bool();
        let often = |rng: &mut Rng, yes: bool| yes.then(|| *rng.choice(&[5, 50, 500]).unwrap());
        let leaves = rng.u8(..3) == 0;
        Self {
            way: *rng.choice(&Way::ALL).unwrap(),
            topics: rng.choice(SELECTORS).unwrap(),
            trusted: rng.bool(),
            from: *rng.choice(&[From::Now, From::Earliest, From::Known]).unwrap(),
            joins: if rng.bool() { 0 } else { rng.usize(..bursts) },
            room: slow.then_some(64 << 10),
            pauses: often(rng, slow),
            leaves: often(rng, leaves),
            seed: rng.u64(..),
        }
    }

    /// Whether this update is for it.
    pub(super) fn may_read(&self, record: &Record) -> bool {
        let selected = |topic: &str| self.topics.iter().any(|pattern| matches(pattern, topic));
        (self.trusted || !record.private) && record.topics.iter().any(|topic| selected(topic))
    }

    /// Reads up to the last update.
    pub(super) async fn read(&self, stage: &Stage) -> Vec<Seen> {
        let mut rng = Rng::with_seed(self.seed);
        stage.until_burst(self.joins).await;
        let (mut seen, mut last, mut left) = (Vec::new(), None::<String>, LEAVES);
        loop {
            let hub = stage.hub.read().await;
            let known = match self.from {
                From::Known if seen.is_empty() => stage.published.choose(rng.usize(..)),
                _ => None,
            };
            let (id, start) = match (&last, known, self.from) {
                (Some(id), ..) => (Some(id.clone()), Seen::Resumed),
                (None, Some((position, record)), _) => {
                    (Some(stage.id(position, &record)), Seen::After(position))
                }
                (None, None, From::Now) if seen.is_empty() => (None, Seen::Now(Position::START)),
                _ => (Some("earliest".to_owned()), Seen::Earliest),
            };
            let mut stream = self.way.open_with(&hub, &self.request(id.as_deref()), self.room).await;
            seen.push(match start {
                Seen::Now(_) => Seen::Now(hub.log.bounds().await.unwrap().last),
                start => start,
            });
            if seen.len() == 1 {
                stage.joined.send_modify(|joined| *joined += 1);
            }
            let mut looks =
                matches!(seen.last(), Some(Seen::Earliest)) || stream.header("ssekit-reset").is_some();
            drop(hub);
            while let Some(got) = stream.next().await {
                match &*got.name {
                    "gap" => {
                        seen.push(Seen::Gap);
                        looks = true;
                    }
                    "reset" => seen.push(Seen::Reset),
                    _ => {
                        seen.push(Seen::Event(number(&got.data)));
                        if got.data.ends_with(END) {
                            return seen;
                        }
                        last = Some(got.id);
                        if std::mem::take(&mut looks) {
                            let (held, upto) = stage.held().await;
                            seen.push(Seen::Held(held.into_keys().collect(), upto));
                        }
                        let leaves = self.leaves.is_some_and(|often| rng.usize(..often) == 0);
                        if leaves && left > 0 {
                            left -= 1;
                            break;
                        }
                        if self.pauses.is_some_and(|often| rng.usize(..often) == 0) {
                            stage.until_burst(stage.bursts().saturating_add(rng.usize(1..=3))).await;
                        }
                    }
                }
            }
        }
    }

    fn request(&self, id: Option<&str>) -> Request {
        let topics: Vec<_> = self.topics.iter().map(|topic| format!("topic={}", encoded(topic))).collect();
        let request = Request::get(format!("{HUB}?{}", topics.join("&")));
        let request = if self.trusted { request.bearer(&token(&[], &["*"])) } else { request };
        match id {
            Some(id) => request.with("last-event-id", id),
            None => request,
        }
    }
}

/// Maximum number of reconnections.
///
/// A subscriber that resumes before the horizon reads the whole history again.
const LEAVES: usize = 10;

const SELECTORS: &[&[&str]] = &[
    &["*"],
    &["*"],
    &["/t/{x}", END],
    &["/t/0", END],
    &["/alt/{x}", END],
    &["/alt/1", END],
    &["/u/{x}", "/t/1", END],
];
