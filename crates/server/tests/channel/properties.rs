//! No interleaving of publishers, a retention sweep and a client that comes and goes gives a gap or a duplicate.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use ssekit_server::{Channel, Event, First, Overtaken, Selection};

use crate::subscriber::{Got, Subscriber, id, none};

#[derive(Clone, Debug)]
enum Step {
    Emit {
        channel: usize,
        bytes: usize,
        own_id: bool,
    },
    Batch {
        channel: usize,
        events: usize,
    },
    /// Time goes by, and old events with it.
    Wait(u64),
    Sweep(usize),
    /// The client gets a piece, and loses its connection after as many events of it.
    Read {
        lost_after: Option<usize>,
    },
    Come,
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..CHANNELS, 0..300_usize, any::<bool>())
            .prop_map(|(channel, bytes, own_id)| Step::Emit { channel, bytes, own_id }),
        1 => (0..CHANNELS, 60_000..140_000_usize)
            .prop_map(|(channel, bytes)| Step::Emit { channel, bytes, own_id: false }),
        2 => (0..CHANNELS, 0..20_usize).prop_map(|(channel, events)| Step::Batch { channel, events }),
        1 => (0..8_000_u64).prop_map(Step::Wait),
        1 => (0..CHANNELS).prop_map(Step::Sweep),
        6 => prop::option::weighted(0.3, 0..6_usize).prop_map(|lost_after| Step::Read { lost_after }),
        3 => Just(Step::Come),
        1 => Just(Step::Leave),
    ]
}

const CHANNELS: usize = 3;

/// A page: it keeps its last event ID, and what it has seen of each channel.
#[derive(Default)]
struct Page {
    stream: Option<Subscriber>,
    last_event_id: String,
    /// The number of the event that it sees next in each channel, once it has seen one, and as many as it was told
    /// that it will not see.
    next: HashMap<String, u64>,
    /// It was told that it has missed nobody knows how many.
    uncertain: bool,
}

impl Page {
    fn see(&mut self, got: &Got) -> Result<(), TestCaseError> {
        let before = std::mem::replace(&mut self.last_event_id, got.id.clone());
        if matches!(got.event.as_str(), "reset" | "gap") {
            let told: serde_json::Value = serde_json::from_str(&got.data).unwrap();
            let channel = told["channel"].as_str().unwrap();
            match told["missed"].as_u64() {
                Some(missed) => {
                    prop_assert!(missed > 0);
                    *self.next.get_mut(channel).unwrap() += missed;
                }
                // Ids of their own are forgotten with their events: how many are gone nobody knows.
                None => {
                    prop_assert_eq!(told["reason"].as_str(), Some("unknown"));
                    prop_assert!(before.starts_with("own"), "{}", before);
                    self.uncertain = true;
                }
            }
            return Ok(());
        }
        let (number, _) = got.data.split_once(' ').unwrap();
        let number = number.parse().unwrap();
        let expected = self.next.insert(got.event.clone(), number + 1);
        if std::mem::take(&mut self.uncertain) {
            prop_assert!(expected <= Some(number), "channel {}: a duplicate", got.event);
            return Ok(());
        }
        prop_assert_eq!(expected, Some(number), "channel {}", got.event);
        Ok(())
    }
}

fn event(channel: usize, number: u64, bytes: usize) -> Event<'static> {
    let data = format!("{number} {}", "x".repeat(bytes));
    Event::new(data).with_event(channel.to_string()).unwrap()
}

fn run(channels: &[Channel], select: impl Fn() -> Selection, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut emitted = [0; CHANNELS];
    let mut page = Page::default();
    page.next.extend((0..CHANNELS).map(|channel| (channel.to_string(), 1)));
    page.stream = Some(runtime.block_on(async { Subscriber::new(select().subscribe(none())) }));
    let rest =
        [Step::Come, Step::Read { lost_after: None }, Step::Wait(5_000), Step::Read { lost_after: None }];
    let all = steps.into_iter().chain(rest);
    for step in all {
        match step {
            Step::Emit { channel, bytes, own_id } => {
                emitted[channel] += 1;
                let mut event = event(channel, emitted[channel], bytes);
                if own_id {
                    event = event.with_id(format!("own {channel} {}", emitted[channel])).unwrap();
                }
                runtime.block_on(async { channels[channel].try_send(event) }).unwrap();
            }
            Step::Batch { channel, events } => {
                let first = emitted[channel] + 1;
                emitted[channel] += events as u64;
                let events = (first..=emitted[channel]).map(|number| event(channel, number, 10));
                runtime.block_on(async { channels[channel].emit_batch(events) }).unwrap();
            }
            Step::Wait(time) => runtime.block_on(tokio::time::advance(Duration::from_millis(time))),
            Step::Sweep(channel) => runtime.block_on(async { channels[channel].sweep() }),
            Step::Come if page.stream.is_none() => {
                let last = match page.last_event_id.as_str() {
                    // It has seen nothing yet, and has missed nothing either: it was here from the beginning.
                    "" => select().first(First::All).subscribe(none()),
                    last => select().subscribe(id(last)),
                };
                if page.last_event_id.is_empty() {
                    break;
                }
                page.stream = Some(runtime.block_on(async { Subscriber::new(last) }));
            }
            Step::Come => {}
            Step::Leave => page.stream = None,
            Step::Read { lost_after } => {
                while let Some(seen) =
                    page.stream.as_mut().and_then(|stream| runtime.block_on(async { stream.piece() }))
                {
                    for got in seen.events.iter().take(lost_after.unwrap_or(usize::MAX)) {
                        page.see(got)?;
                    }
                    if seen.ended || lost_after.is_some() {
                        page.stream = None;
                    }
                }
            }
        }
    }
    // At the end it has seen, or was told of, everything.
    if page.stream.is_some() {
        for (channel, emitted) in emitted.iter().enumerate() {
            prop_assert_eq!(page.next[&channel.to_string()], emitted + 1, "channel {}", channel);
        }
    }
    Ok(())
}

fn channels(policy: Overtaken, gather: u64, keep: u64, bytes: usize) -> Vec<Channel> {
    let channel = |name: usize| {
        Channel::builder()
            .name(name.to_string())
            .keep_last(keep)
            .keep_bytes(bytes)
            .gather(Duration::from_millis(gather))
            .keep_for(Duration::from_secs(10))
            .when_overtaken(policy)
            .build()
    };
    (0..CHANNELS).map(channel).collect()
}

fn policy() -> impl Strategy<Value = Overtaken> {
    prop_oneof![Just(Overtaken::Close), Just(Overtaken::Gap)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn case_109_one_channel(
        policy in policy(),
        gather in prop::sample::select(&[0, 10, 2_000][..]),
        keep in 1..200_u64,
        bytes in 1_000..400_000_usize,
        mut steps in prop::collection::vec(step(), 0..200),
    ) {
        for step in &mut steps {
            if let Step::Emit { channel, .. } | Step::Batch { channel, .. } | Step::Sweep(channel) = step {
                *channel = 0;
            }
        }
        let channels = channels(policy, gather, keep, bytes);
        run(&channels, || Selection::from(&channels[0]), steps)?;
    }

    #[test]
    fn case_109_several_channels(
        policy in policy(),
        gather in prop::sample::select(&[0, 10, 2_000][..]),
        keep in 1..200_u64,
        bytes in 1_000..400_000_usize,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let channels = channels(policy, gather, keep, bytes);
        run(&channels, || channels[0].and(&channels[1]).and(&channels[2]), steps)?;
    }
}
