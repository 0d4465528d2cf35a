//! A subscriber without a network: it is polled when the test wants it to be.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use ssekit_server::{BodyError, LastEventId, Produce, SseBody};
use ssekit_wire::{Decoder, Item};

pub(crate) use crate::within::within;

/// A client that reads one stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    body: SseBody,
    decoder: Decoder,
    /// The header that tells of a reset.
    pub(crate) reset: Option<String>,
}

/// An event as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

/// The result of a look at the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Got>,
    pub(crate) ended: bool,
    /// It has ended with an error, so that no client takes it for complete.
    pub(crate) cut: bool,
}

impl Subscriber {
    pub(crate) fn new(produce: Produce) -> Self {
        // Without timers it needs no runtime.
        let response = produce.no_ping().no_stall_timeout().response();
        assert_eq!(response.status(), 200);
        let reset = response.headers().get("ssekit-reset").map(|reset| reset.to_str().unwrap().to_owned());
        Self { body: response.into_body(), decoder: Decoder::new(), reset }
    }

    /// The next piece that is there, if any.
    pub(crate) fn piece(&mut self) -> Option<Seen> {
        match Pin::new(&mut self.body).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(piece) => Some(self.decode(piece)),
        }
    }

    /// Everything that is there.
    pub(crate) fn seen(&mut self) -> Seen {
        let mut seen = Seen::default();
        // A stream that is to be cut lets its transport flush before.
        while let Some(piece) = self.piece().or_else(|| self.piece()) {
            seen.events.extend(piece.events);
            (seen.ended, seen.cut) = (piece.ended, piece.cut);
            if seen.ended {
                break;
            }
        }
        seen
    }

    /// The data of everything that is there; the stream goes on.
    #[track_caller]
    pub(crate) fn data(&mut self) -> Vec<String> {
        let seen = self.seen();
        assert!(!seen.ended, "the stream has ended after {:?}", seen.events);
        seen.events.into_iter().map(|got| got.data).collect()
    }

    /// The data of everything that is there, for a client that could go on where it was.
    #[track_caller]
    pub(crate) fn resumed(&mut self) -> Vec<String> {
        assert_eq!(self.reset, None);
        self.data()
    }

    /// Waits for a piece.
    pub(crate) async fn next(&mut self) -> Seen {
        let piece = poll_fn(|cx| Pin::new(&mut self.body).poll_next(cx)).await;
        self.decode(piece)
    }

    /// The id that a client would come back with.
    pub(crate) fn last_event_id(&self) -> LastEventId {
        LastEventId::new(self.decoder.last_event_id()).unwrap()
    }

    pub(crate) fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    fn decode(&mut self, piece: Option<Result<bytes::Bytes, BodyError>>) -> Seen {
        let mut seen = Seen::default();
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(BodyError::Incomplete { .. })) => return Seen { ended: true, cut: true, ..seen },
            Some(Err(error)) => panic!("nobody stalls here: {error}"),
            None => return Seen { ended: true, ..seen },
        };
        let mut items = self.decoder.feed(&piece);
        while let Some(item) = items.next() {
            if let Item::Message(message) = item.expect("an event stream") {
                seen.events.push(Got {
                    event: message.event.to_owned(),
                    data: message.data.to_owned(),
                    id: message.last_event_id.to_owned(),
                });
            }
        }
        seen
    }
}

/// An id as a client sends it back.
#[expect(clippy::needless_pass_by_value, reason = "ids are copied, and texts are short")]
pub(crate) fn id(id: impl ToString) -> LastEventId {
    LastEventId::new(id.to_string()).unwrap()
}

/// No id: a client that is here for the first time.
pub(crate) fn none() -> LastEventId {
    LastEventId::default()
}
