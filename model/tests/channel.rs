//! loom runs each of these in every order that its threads can have at the channel's lock. A reader that was
//! forgotten would be a deadlock, which it reports.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream as _;
use loom::future::block_on;
use loom::thread;
use ssekit_server::{BodyError, Channel, Event, LastEventId, Overtaken, Produce, SseBody};
use ssekit_wire::{Decoder, Item};

/// Runs this in every order with at most three preemptions, which is where nearly all faults show.
fn every_order(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

struct Reader {
    body: SseBody,
    decoder: Decoder,
    /// Numbers of the events, and how many it was told that it has missed.
    seen: Vec<Seen>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Event(u64),
    Missed(u64),
}

impl Reader {
    fn new(produce: Produce) -> Self {
        let body = produce.no_ping().no_stall_timeout().response().into_body();
        Self { body, decoder: Decoder::new(), seen: Vec::new(), ended: false }
    }

    /// Waits for the next piece.
    fn wait(&mut self) {
        block_on(poll_fn(|cx| self.poll(cx)));
    }

    /// Takes the events that are there.
    fn look(&mut self) {
        while !self.ended && self.poll(&mut Context::from_waker(Waker::noop())).is_ready() {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(piece) = Pin::new(&mut self.body).poll_next(cx) else { return Poll::Pending };
        let piece = match piece {
            Some(Ok(piece)) => piece,
            // The end, or a cut where the channel has overtaken it.
            None | Some(Err(BodyError::Incomplete { .. })) => {
                self.ended = true;
                return Poll::Ready(());
            }
            Some(Err(error)) => panic!("nobody stalls: {error}"),
        };
        let mut items = self.decoder.feed(&piece);
        while let Some(item) = items.next() {
            let Item::Message(message) = item.expect("an event stream") else { continue };
            let number = |text: &str| text.parse().expect("a number");
            self.seen.push(match message.event {
                "message" => Seen::Event(number(message.data)),
                _ => {
                    let (_, missed) = message.data.rsplit_once(':').expect("it tells how many");
                    Seen::Missed(number(missed.trim_end_matches('}')))
                }
            });
        }
        Poll::Ready(())
    }

    /// How far it is, when nothing was left out silently and nothing came twice.
    fn place(&self, mut place: u64) -> u64 {
        for seen in &self.seen {
            place = match *seen {
                Seen::Event(number) => {
                    assert_eq!(number, place + 1, "{:?}", self.seen);
                    number
                }
                Seen::Missed(missed) => place + missed,
            };
        }
        place
    }

    fn last_event_id(&self) -> LastEventId {
        LastEventId::new(self.decoder.last_event_id()).expect("an id")
    }
}

fn none() -> LastEventId {
    LastEventId::default()
}

/// Publishes an event whose data is its own number: nobody else publishes.
fn publish(channel: &Channel, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        channel.emit("", number.to_string()).expect("it is open");
    }
}

#[test]
fn a_reader_that_waits_gets_what_two_publishers_send() {
    every_order(|| {
        let channel = Channel::new();
        let mut reader = Reader::new(channel.subscribe(none()));
        let publishers = [1, 2].map(|_| {
            let channel = channel.clone();
            thread::spawn(move || channel.emit("", "0").expect("it is open").sequence())
        });
        while reader.seen.len() < 2 {
            reader.wait();
        }
        let mut sequences = publishers.map(|publisher| publisher.join().unwrap());
        sequences.sort_unstable();
        assert_eq!(sequences, [1, 2]);
        assert!(reader.decoder.last_event_id().ends_with("-2"));
    });
}

#[test]
fn who_comes_while_others_publish_and_leave_is_not_forgotten() {
    every_order(|| {
        let channel = Channel::new();
        let leaving = Reader::new(channel.subscribe(none()));
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || publish(&channel, 1..=2))
        };
        let leaver = thread::spawn(move || {
            let mut leaving = leaving;
            leaving.look();
            drop(leaving);
        });
        let mut reader = Reader::new(channel.first(ssekit_server::First::All).subscribe(none()));
        while reader.place(0) < 2 {
            reader.wait();
        }
        publisher.join().unwrap();
        leaver.join().unwrap();
        drop(reader);
        assert_eq!(channel.stats().subscribers, 0);
    });
}

#[test]
fn a_batch_is_seen_whole_and_closing_wakes_who_waits() {
    every_order(|| {
        let channel = Channel::new();
        let mut reader = Reader::new(channel.subscribe(none()));
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || {
                channel.emit_batch(["1", "2"].map(Event::new)).expect("it is open");
                channel.close();
            })
        };
        while !reader.ended {
            reader.wait();
            assert!([0, 2].contains(&reader.seen.len()), "{:?}", reader.seen);
        }
        assert_eq!(reader.place(0), 2);
        publisher.join().unwrap();
    });
}

#[test]
fn a_sweep_leaves_no_silent_gap_to_a_reader() {
    every_order(|| {
        let channel = Channel::builder().keep_last(1).when_overtaken(Overtaken::Gap).build();
        let mut reader = Reader::new(channel.subscribe(none()));
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || publish(&channel, 1..=3))
        };
        let sweeper = {
            let channel = channel.clone();
            thread::spawn(move || channel.sweep())
        };
        while reader.place(0) < 3 {
            reader.wait();
        }
        publisher.join().unwrap();
        sweeper.join().unwrap();
    });
}

#[test]
fn a_reader_that_is_cut_and_resumes_is_told_all_that_it_missed() {
    every_order(|| {
        let channel = Channel::builder().keep_last(2).build();
        publish(&channel, 1..=1);
        let mut reader = Reader::new(channel.first(ssekit_server::First::All).subscribe(none()));
        reader.look();
        let mut place = reader.place(0);
        assert_eq!(place, 1);
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || publish(&channel, 2..=4))
        };
        let mut last = reader.last_event_id();
        while place < 4 {
            reader = Reader::new(channel.subscribe(last.clone()));
            let before = place;
            while !reader.ended && place < 4 {
                reader.wait();
                place = reader.place(before);
            }
            if place > before {
                last = reader.last_event_id();
            }
        }
        publisher.join().unwrap();
    });
}
