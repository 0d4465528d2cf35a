//! The chat room with its lobby.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use ssekit::server::Presence;
use ssekit::{Clients, PresenceChange, Produce};

use crate::waiting_room::WaitingRoom;

const SEATS: usize = 3;
/// The number of messages that are kept for new visitors.
const HISTORY: usize = 50;

/// A page: its secret, which it makes, and the name that it shows. Both are those of the request for the
/// stream.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Visitor {
    session: String,
    name: String,
}

#[derive(Deserialize)]
pub(crate) struct Saying {
    session: String,
    text: String,
}

/// The data of a `said` event; `history` has many.
#[derive(Clone, Serialize)]
struct Said {
    from: String,
    text: String,
    /// In milliseconds since 1970.
    at: u64,
}

/// The data of a `people` event.
#[derive(Serialize)]
struct People<'a> {
    seats: usize,
    inside: Vec<&'a str>,
    waiting: Vec<&'a str>,
}

pub(crate) type Refusal = (StatusCode, &'static str);

#[derive(Clone)]
pub(crate) struct Room {
    clients: Clients<Visitor>,
    state: Arc<Mutex<State>>,
}

/// Events are emitted under its lock, so that all pages get them in the same order.
struct State {
    visitors: WaitingRoom<Visitor>,
    history: VecDeque<Said>,
}

impl Room {
    pub(crate) fn new() -> Self {
        let state = State { visitors: WaitingRoom::new(SEATS), history: VecDeque::new() };
        Self { clients: Clients::new(), state: Arc::new(Mutex::new(state)) }
    }

    /// The stream of a visitor. The visitor is here while the stream is open.
    pub(crate) fn enter(&self, visitor: Visitor) -> Result<Produce, Refusal> {
        let shown = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
        if visitor.session.is_empty() || visitor.session.len() > 64 {
            return Err((StatusCode::BAD_REQUEST, "a session has 1 to 64 bytes"));
        }
        if !shown(&visitor.name) || visitor.name.chars().count() > 24 {
            return Err((StatusCode::BAD_REQUEST, "a name has 1 to 24 characters on one line"));
        }
        Ok(self.clients.connect(visitor))
    }

    /// Seats new visitors, and lets the next one in when one leaves, for as long as it is polled.
    pub(crate) fn run(&self) -> impl Future<Output = ()> + use<> {
        let (room, presence) = (self.clone(), self.clients.presence());
        async move { room.attend(presence).await }
    }

    async fn attend(&self, mut presence: Presence<Visitor>) {
        while let Some(change) = presence.next().await {
            let mut state = self.state();
            match change {
                PresenceChange::Joined { key, .. } => {
                    state.visitors.arrive(key.clone());
                    self.welcome(&state, &key);
                }
                PresenceChange::Left { key, streams: 0 } => {
                    if let Some(next) = state.visitors.leave(&key) {
                        self.welcome(&state, &next);
                    }
                }
                PresenceChange::Missed(_) => self.count_anew(&mut state),
                _ => continue,
            }
            self.send_people(&state);
        }
    }

    /// Compares with the present keys, after more changes than presence keeps.
    fn count_anew(&self, state: &mut State) {
        let gone: Vec<_> = state.visitors.inside().iter().chain(state.visitors.queue()).cloned().collect();
        for visitor in gone.iter().filter(|visitor| !self.clients.contains(*visitor)) {
            state.visitors.leave(visitor);
        }
        self.clients.keys().into_iter().for_each(|visitor| state.visitors.arrive(visitor));
        state.visitors.inside().iter().for_each(|visitor| self.welcome(state, visitor));
    }

    /// Says something to those inside.
    pub(crate) fn say(&self, saying: &Saying, at: u64) -> Result<(), Refusal> {
        let text = saying.text.trim();
        if text.is_empty() || text.chars().count() > 300 {
            return Err((StatusCode::BAD_REQUEST, "a message has 1 to 300 characters"));
        }
        let mut state = self.state();
        let from = state.visitors.inside().iter().find(|visitor| visitor.session == saying.session);
        let from = from.ok_or((StatusCode::FORBIDDEN, "only visitors in the room can speak"))?.name.clone();
        let said = Said { from, text: text.to_owned(), at };
        for visitor in state.visitors.inside() {
            // A visitor that has just gone gets nothing, and delays no other.
            let _ = self.clients.get(visitor).emit_json("said", &said);
        }
        state.history.push_back(said);
        if state.history.len() > HISTORY {
            state.history.pop_front();
        }
        Ok(())
    }

    /// Sends the kept messages to a visitor that has entered or come back.
    fn welcome(&self, state: &State, visitor: &Visitor) {
        if state.visitors.position(visitor) == Some(0) {
            let _ = self.clients.get(visitor).emit_json("history", &state.history);
        }
    }

    /// Sends the list of visitors to all of them, and their position in the queue to those that wait.
    fn send_people(&self, state: &State) {
        let people = People {
            seats: state.visitors.seats(),
            inside: state.visitors.inside().iter().map(|visitor| visitor.name.as_str()).collect(),
            waiting: state.visitors.queue().map(|visitor| visitor.name.as_str()).collect(),
        };
        let _ = self.clients.all().emit_json("people", &people);
        let positions = state.visitors.inside().iter().map(|visitor| (0, visitor));
        for (position, visitor) in
            positions.chain(state.visitors.queue().enumerate().map(|(index, visitor)| (index + 1, visitor)))
        {
            let _ = self.clients.get(visitor).emit("place", position.to_string());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
