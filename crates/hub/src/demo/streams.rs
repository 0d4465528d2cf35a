//! Every open stream of the demo, and the one way to all of them.
//!
//! This is what "emitters kept elsewhere" means: a request leaves its [`Emitter`] here, and whoever has news (the
//! machine's figures, a message in the room) sends it to all of them from another task or another request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use ssekit_server::{EmitError, Emitter, Event};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::room::{Name, Room, Said};

/// How many streams are open at once, of pages and of `/stats` together.
pub(crate) const MAX_STREAMS: usize = 256;

/// The open streams. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    open: Arc<Mutex<Open>>,
    places: Arc<Semaphore>,
    listeners: watch::Sender<usize>,
}

#[derive(Debug)]
struct Open {
    /// Told apart from the run before by this, an id from then is not taken for one of ours.
    run: String,
    /// The number of the latest event.
    sequence: u64,
    streams: HashMap<u64, Stream>,
    /// The key of the latest stream.
    key: u64,
    room: Room,
    closed: bool,
}

#[derive(Debug)]
struct Stream {
    emitter: Emitter,
    wants: Wants,
}

/// What a stream is there for.
#[derive(Debug)]
pub(crate) enum Wants {
    /// The machine's figures and nothing else.
    Figures,
    /// All that the page shows, under a name or only looking on.
    Everything(Option<Name>),
}

/// The data of a `stats` event.
#[derive(Serialize)]
struct Stats<'a, F> {
    #[serde(flatten)]
    figures: &'a F,
    /// How many streams are open.
    streams: usize,
}

/// Room for one stream, taken before its response begins.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Streams,
    _permit: OwnedSemaphorePermit,
}

/// A stream that is open. Dropped when it ends, it leaves.
#[derive(Debug)]
pub(crate) struct Seat {
    key: u64,
    place: Place,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let open = Open {
            run: format!("{:x}", started.as_millis()),
            sequence: 0,
            streams: HashMap::new(),
            key: 0,
            room: Room::default(),
            closed: false,
        };
        Self {
            open: Arc::new(Mutex::new(open)),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            listeners: watch::Sender::new(0),
        }
    }

    /// A place for one more stream, unless there are too many or the server is stopping.
    pub(crate) fn place(&self) -> Option<Place> {
        if self.lock().closed {
            return None;
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Place { streams: self.clone(), _permit: permit })
    }

    /// Sends the machine's figures to every stream.
    pub(crate) fn figures(&self, figures: &impl Serialize) {
        let mut open = self.lock();
        let streams = open.streams.len();
        open.publish("stats", &Stats { figures, streams });
    }

    /// Says something to everyone who listens to the room.
    pub(crate) fn say(&self, said: &Said) {
        let mut open = self.lock();
        let json = open.publish("chat", said);
        let sequence = open.sequence;
        open.room.remember(sequence, json);
    }

    /// How many listen, and a way to wait for a change.
    pub(crate) fn listeners(&self) -> watch::Receiver<usize> {
        self.listeners.subscribe()
    }

    /// Ends every stream after what it has been sent, and admits no more.
    pub(crate) fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        let streams = std::mem::take(&mut open.streams);
        drop(open);
        for stream in streams.values() {
            stream.emitter.lock().set(false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Sends an event to every stream that wants it, under the next id; gives its data as JSON.
    fn publish(&mut self, name: &'static str, data: &impl Serialize) -> String {
        self.sequence += 1;
        let id = format!("{}-{}", self.run, self.sequence);
        let data = json(data);
        for stream in self.streams.values() {
            if name == "stats" || matches!(stream.wants, Wants::Everything(_)) {
                stream.send(event(name, &data).with_id(&id).expect(ID));
            }
        }
        data
    }

    /// What a new stream is told first: the messages it missed and, if no other event will say it, who is here.
    fn welcome(&self, stream: &Stream, last_event_id: Option<&str>) {
        let Wants::Everything(name) = &stream.wants else { return };
        for (sequence, said) in self.room.after(self.sequence_of(last_event_id)) {
            let id = format!("{}-{sequence}", self.run);
            stream.send(event("chat", said).with_id(id).expect(ID));
        }
        if name.is_none() {
            stream.send(event("people", &json(&self.room.people())));
        }
    }

    /// The number of the event with this id; 0, before all of them, when it is not one of ours.
    fn sequence_of(&self, id: Option<&str>) -> u64 {
        let sequence = id.and_then(|id| id.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok());
        sequence.filter(|&sequence| sequence <= self.sequence).unwrap_or(0)
    }
}

impl Stream {
    /// Never waits. A stream whose client does not keep up is ended: the client returns with its last event ID and is
    /// told what it missed, instead of missing it silently.
    fn send(&self, event: Event<'_>) {
        if let Err(EmitError::Full { .. }) = self.emitter.try_send(event) {
            self.emitter.lock().set(false);
        }
    }
}

const ID: &str = "an id is digits, letters and a dash";

fn event<'a>(name: &'static str, data: &'a str) -> Event<'a> {
    Event::new(data).with_event(name).expect("our own names are single words")
}

fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("plain data with text keys")
}

impl Place {
    /// Opens the stream here: what it missed after `last_event_id` comes first, then all that happens.
    pub(crate) fn enter(self, emitter: Emitter, wants: Wants, last_event_id: Option<&str>) -> Seat {
        let mut open = self.streams.lock();
        open.key += 1;
        let key = open.key;
        let stream = Stream { emitter, wants };
        if open.closed {
            stream.emitter.lock().set(false);
        } else {
            open.welcome(&stream, last_event_id);
            let people = match &stream.wants {
                Wants::Everything(Some(name)) => Some(open.room.enter(&name.clone())),
                _ => None,
            };
            open.streams.insert(key, stream);
            if let Some(people) = people {
                open.publish("people", &people);
            }
        }
        drop(open);
        self.streams.listeners.send_modify(|listeners| *listeners += 1);
        Seat { key, place: self }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let streams = &self.place.streams;
        let mut open = streams.lock();
        let stream = open.streams.remove(&self.key);
        if let Some(Stream { wants: Wants::Everything(Some(name)), .. }) = &stream {
            let people = open.room.leave(name);
            open.publish("people", &people);
        }
        drop(open);
        streams.listeners.send_modify(|listeners| *listeners -= 1);
    }
}
