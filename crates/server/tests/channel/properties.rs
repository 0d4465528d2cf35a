//! No interleaving of publishers, a retention sweep and a client that comes and goes gives a gap or a
//! duplicate.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use ssekit_server::{Channel, Event, LastEventId, Overtaken, Selection};

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
        // Larger than the channel, now and then.
        2 => (0..CHANNELS, prop_oneof![4 => 0..20_usize, 1 => 20..400_usize])
            .prop_map(|(channel, events)| Step::Batch { channel, events }),
        1 => (0..8_000_u64).prop_map(Step::Wait),
        1 => (0..CHANNELS).prop_map(Step::Sweep),
        6 => prop::option::weighted(0.3, 0..6_usize).prop_map(|lost_after| Step::Read { lost_after }),
        3 => Just(Step::Come),
        1 => Just(Step::Leave),
    ]
}

const CHANNELS: usize = 3;

/// A page: it keeps its last event ID, and the events of each channel that it has seen.
#[derive(Default)]
struct Page {
    stream: Option<Subscriber>,
    last_event_id: String,
    /// The number of the event that it sees next in each channel, once it has seen one, and the number
    /// of events that notices report as lost.
    next: HashMap<String, u64>,
    /// A reset said that it has missed an unknown number.
    uncertain: bool,
    /// Nothing is dropped while it is connected.
    is_waited_for: bool,
}

impl Page {
    fn see(&mut self, got: &Got) -> Result<(), TestCaseError> {
        let before = std::mem::replace(&mut self.last_event_id, got.id.clone());
        if matches!(got.event.as_str(), "reset" | "gap") {
            let notice: serde_json::Value = serde_json::from_str(&got.data).unwrap();
            let channel = notice["channel"].as_str().unwrap();
            prop_assert!(!self.is_waited_for || got.event == "reset", "{got:?}");
            match notice["missed"].as_u64() {
                Some(missed) => {
                    prop_assert!(missed > 0);
                    *self.next.get_mut(channel).unwrap() += missed;
                }
                // Ids of their own are forgotten with their events: their number is unknown.
                None => {
                    prop_assert_eq!(notice["reason"].as_str(), Some("unknown"));
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

fn run(
    channels: &[Channel],
    policy: Overtaken,
    select: impl Fn() -> Selection,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut emitted = [0; CHANNELS];
    let mut page = Page { is_waited_for: policy == Overtaken::Wait, ..Page::default() };
    page.next.extend((0..CHANNELS).map(|channel| (channel.to_string(), 1)));
    page.stream = Some(runtime.block_on(async { Subscriber::new(select().subscribe(none())) }));
    let read = Step::Read { lost_after: None };
    let rest = [Step::Come, read.clone(), Step::Wait(5_000), read.clone(), Step::Come, read];
    let all = steps.into_iter().chain(rest);
    for step in all {
        match step {
            Step::Emit { channel, bytes, own_id } => {
                let number = emitted[channel] + 1;
                let mut event = event(channel, number, bytes);
                if own_id {
                    event = event.with_id(format!("own {channel} {number}")).unwrap();
                }
                match runtime.block_on(async { channels[channel].try_send(event) }) {
                    Ok(_) => emitted[channel] = number,
                    Err(error) => prop_assert!(page.is_waited_for, "{error}"),
                }
            }
            Step::Batch { channel, events } => {
                let (first, last) = (emitted[channel] + 1, emitted[channel] + events as u64);
                let events = (first..=last).map(|number| event(channel, number, 10));
                match runtime.block_on(async { channels[channel].emit_batch(events) }) {
                    Ok(_) => emitted[channel] = last,
                    Err(error) => prop_assert!(page.is_waited_for, "{error}"),
                }
            }
            Step::Wait(time) => runtime.block_on(tokio::time::advance(Duration::from_millis(time))),
            Step::Sweep(channel) => runtime.block_on(async { channels[channel].sweep() }),
            Step::Come if page.stream.is_none() => {
                let last = match page.last_event_id.as_str() {
                    // Its connection broke before it was answered: it is new, and gets the events from now
                    // on.
                    "" => {
                        let next = emitted.iter().enumerate();
                        page.next.extend(next.map(|(channel, last)| (channel.to_string(), last + 1)));
                        none()
                    }
                    last => id(last),
                };
                page.stream = Some(runtime.block_on(async { Subscriber::new(select().subscribe(last)) }));
            }
            Step::Come => {}
            Step::Leave => page.stream = None,
            Step::Read { lost_after } => {
                while let Some(seen) =
                    page.stream.as_mut().and_then(|stream| runtime.block_on(async { stream.piece() }))
                {
                    let all = lost_after.is_none_or(|lost_after| lost_after >= seen.events.len());
                    for got in seen.events.iter().take(lost_after.unwrap_or(usize::MAX)) {
                        page.see(got)?;
                    }
                    if all && let Some(last) = page.stream.as_ref().unwrap().last_event_id().as_str() {
                        page.last_event_id = last.to_owned();
                    }
                    if seen.ended || lost_after.is_some() {
                        page.stream = None;
                    }
                }
            }
        }
    }
    // At the end it has seen every event, or a notice of it.
    prop_assert!(page.stream.is_some());
    for (channel, emitted) in emitted.iter().enumerate().filter(|_| !page.uncertain) {
        prop_assert_eq!(page.next[&channel.to_string()], emitted + 1, "channel {}", channel);
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
    prop_oneof![Just(Overtaken::Close), Just(Overtaken::Gap), Just(Overtaken::Wait)]
}

/// The sequence in an id of one channel.
fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// A page that reads the events named `read` of a channel that has others too, as `bursts` of them come.
/// After a burst it looks, and then it stays, or leaves and comes back before the next burst or after it.
fn run_filtered(news: &Channel, bursts: &[(Vec<bool>, u8)]) -> Result<(), TestCaseError> {
    let subscribe = |last: &str| {
        Subscriber::new(news.filter(|name| name == "read").subscribe(LastEventId::new(last).unwrap()))
    };
    let mut stream = Some(subscribe(""));
    // Those that it wants and has neither seen nor got a notice of, and its position when it comes back.
    let mut wanted = BTreeSet::new();
    let mut last = String::new();
    for (burst, then) in bursts.iter().chain([&(Vec::new(), 0), &(Vec::new(), 0)]) {
        for wants in burst {
            let id = news.emit(if *wants { "read" } else { "other" }, "").unwrap();
            wanted.extend(wants.then_some(id.sequence()));
        }
        let page = stream.get_or_insert_with(|| subscribe(&last));
        let seen = page.seen();
        for got in &seen.events {
            let at = sequence(&got.id);
            if got.event == "read" {
                prop_assert_eq!(wanted.pop_first(), Some(at));
            } else {
                prop_assert!(matches!(got.event.as_str(), "gap" | "reset"));
                wanted = wanted.split_off(&(at + 1));
            }
        }
        last = page.last_event_id().as_str().map_or(last, str::to_owned);
        prop_assert!(wanted.first().is_none_or(|first| sequence(&last) < *first), "{last}");
        match then {
            _ if seen.ended => stream = None,
            0 => {}
            1 => stream = None,
            _ => stream = Some(subscribe(&last)),
        }
    }
    prop_assert!(wanted.is_empty(), "{wanted:?}");
    Ok(())
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
        run(&channels, policy, || Selection::from(&channels[0]), steps)?;
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
        run(&channels, policy, || channels[0].and(&channels[1]).and(&channels[2]), steps)?;
    }

    #[test]
    fn case_109_a_filter_leaves_out_nothing_else(
        close in any::<bool>(),
        keep in 1..40_u64,
        bursts in prop::collection::vec((prop::collection::vec(any::<bool>(), 0..60), 0..3_u8), 0..20),
    ) {
        let policy = if close { Overtaken::Close } else { Overtaken::Gap };
        let news = Channel::builder().keep_last(keep).when_overtaken(policy).build();
        run_filtered(&news, &bursts)?;
    }
}
