//! Model tests of a channel.
//!
//! loom runs each test in every order in which its threads can take the channel's lock. A reader that is
//! never woken is a deadlock, which loom reports.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream as _;
use loom::future::block_on;
use loom::thread;
use ssekit_server::{BodyError, Channel, Event, LastEventId, Overtaken, Produce, SseBody};
use ssekit_wire::{Decoder, Item};

/// Runs a test in every order with at most three preemptions, which find nearly all faults.
fn every_order(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

/// A subscriber, with the events that it has received.
struct Reader {
    body: SseBody,
    decoder: Decoder,
    /// The numbers of the received events, and the numbers of missed events that gaps reported.
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

    /// Waits for the next chunk of the body, or its end.
    fn wait(&mut self) {
        block_on(poll_fn(|cx| self.poll(cx)));
    }

    /// Receives all events that are ready.
    fn receive_ready(&mut self) {
        while !self.ended && self.poll(&mut Context::from_waker(Waker::noop())).is_ready() {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Poll::Ready(chunk) = Pin::new(&mut self.body).poll_next(cx) else { return Poll::Pending };
        let chunk = match chunk {
            Some(Ok(chunk)) => chunk,
            // The body ends when the channel is closed, or when it has overtaken the reader.
            None | Some(Err(BodyError::Incomplete { .. })) => {
                self.ended = true;
                return Poll::Ready(());
            }
            Some(Err(error)) => panic!("the stall timeout is off: {error}"),
        };
        let mut items = self.decoder.feed(&chunk);
        while let Some(item) = items.next() {
            let Item::Message(message) = item.expect("an event stream") else { continue };
            let number = |text: &str| text.parse().expect("a number");
            self.seen.push(match message.event {
                "message" => Seen::Event(number(message.data)),
                _ => {
                    let (_, missed) =
                        message.data.rsplit_once(':').expect("a gap has the number of lost events");
                    Seen::Missed(number(missed.trim_end_matches('}')))
                }
            });
        }
        Poll::Ready(())
    }

    /// The number of the last event, if the first one follows `last`.
    ///
    /// Panics if an event is missing without a gap, or was received twice.
    fn last(&self, mut last: u64) -> u64 {
        for seen in &self.seen {
            last = match *seen {
                Seen::Event(number) => {
                    assert_eq!(number, last + 1, "{:?}", self.seen);
                    number
                }
                Seen::Missed(missed) => last + missed,
            };
        }
        last
    }

    fn last_event_id(&self) -> LastEventId {
        LastEventId::new(self.decoder.last_event_id()).expect("an id")
    }
}

/// The last event ID of a new subscriber.
fn none() -> LastEventId {
    LastEventId::default()
}

/// Publishes events whose data are their numbers. No other thread may publish to the channel.
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
fn a_reader_that_subscribes_while_another_leaves_gets_all_events() {
    every_order(|| {
        let channel = Channel::new();
        let leaving = Reader::new(channel.subscribe(none()));
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || publish(&channel, 1..=2))
        };
        let leaver = thread::spawn(move || {
            let mut leaving = leaving;
            leaving.receive_ready();
            drop(leaving);
        });
        let mut reader = Reader::new(channel.first(ssekit_server::First::All).subscribe(none()));
        while reader.last(0) < 2 {
            reader.wait();
        }
        publisher.join().unwrap();
        leaver.join().unwrap();
        drop(reader);
        assert_eq!(channel.stats().subscribers, 0);
    });
}

#[test]
fn a_batch_is_received_whole_and_closing_wakes_readers() {
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
        assert_eq!(reader.last(0), 2);
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
        while reader.last(0) < 3 {
            reader.wait();
        }
        publisher.join().unwrap();
        sweeper.join().unwrap();
    });
}

#[test]
fn a_reader_that_resumes_learns_of_all_missed_events() {
    every_order(|| {
        let channel = Channel::builder().keep_last(2).build();
        publish(&channel, 1..=1);
        let mut reader = Reader::new(channel.first(ssekit_server::First::All).subscribe(none()));
        reader.receive_ready();
        let mut last = reader.last(0);
        assert_eq!(last, 1);
        let publisher = {
            let channel = channel.clone();
            thread::spawn(move || publish(&channel, 2..=4))
        };
        let mut last_event_id = reader.last_event_id();
        while last < 4 {
            reader = Reader::new(channel.subscribe(last_event_id.clone()));
            let before = last;
            while !reader.ended && last < 4 {
                reader.wait();
                last = reader.last(before);
            }
            if last > before {
                last_event_id = reader.last_event_id();
            }
        }
        publisher.join().unwrap();
    });
}
