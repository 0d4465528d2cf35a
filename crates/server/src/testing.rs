//! Reads the events of a response, for tests of handlers. No network is needed.
//!
//! ```
//! use ssekit::{Produce, produce, testing};
//!
//! async fn count() -> Produce {
//!     produce(|stream| async move {
//!         stream.emit("count", "1")?;
//!         Ok(stream.emit("count", "2")?)
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ssekit::server::Error> {
//! let mut events = testing::events(count().await.response());
//! let first = events.next().await.expect("the stream goes on")?;
//! assert_eq!((first.event.as_str(), first.data.as_str()), ("count", "1"));
//! assert_eq!(events.rest().await?.len(), 1); // the stream ends
//! # Ok(()) }
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Buf;
use http::Response;
use http_body::Body;
use ssekit_wire::{DecodeError, Decoder, Item};

use crate::error::Error;

/// Reads the events of this response, as a client receives them.
///
/// It takes any body: that of [`Produce::response`](crate::Produce::response), or of a framework's response.
/// Read bytes count as written to the client, so that neither pings nor the stall time have to be turned off.
pub fn events<B: Body>(response: Response<B>) -> Events<B> {
    let body = Some(Box::pin(response.into_body()));
    Events { body, decoder: Decoder::new(), ready: VecDeque::new() }
}

/// The events of a response. Made by [`events`].
#[must_use = "events do nothing unless they are read"]
pub struct Events<B> {
    /// Until it has ended.
    body: Option<Pin<Box<B>>>,
    decoder: Decoder,
    ready: VecDeque<Result<Received, DecodeError>>,
}

/// An event as a client receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Its name; `message` when it was sent without one.
    pub event: String,
    /// Its data, with LF between the lines.
    pub data: String,
    /// The last event ID after it: its own, or the latest before it, or empty.
    pub last_event_id: String,
}

impl<B: Body> Events<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// The next event; `None` when the response has ended. It waits for an event that is yet to be emitted.
    ///
    /// # Errors
    /// When the body fails, as that of a stream that is [cut](crate::BodyError), or ends inside an event.
    pub async fn next(&mut self) -> Option<Result<Received, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event.map_err(Error::from));
            }
            let body = self.body.as_mut()?;
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.decode(data);
                    }
                }
                Some(Err(error)) => {
                    self.body = None;
                    return Some(Err(Error::new(error)));
                }
                None => {
                    self.body = None;
                    return self.decoder.is_inside_event().then(|| Err(DecodeError::IncompleteEvent.into()));
                }
            }
        }
    }

    /// All events until the response ends: for a stream that does.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    pub async fn rest(mut self) -> Result<Vec<Received>, Error> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event?);
        }
        Ok(rest)
    }

    fn decode(&mut self, mut data: B::Data) {
        while data.has_remaining() {
            let piece = data.chunk();
            let len = piece.len();
            let mut items = self.decoder.feed(piece);
            while let Some(item) = items.next() {
                match item {
                    Ok(Item::Message(message)) => self.ready.push_back(Ok(Received {
                        event: message.event.to_owned(),
                        data: message.data.to_owned(),
                        last_event_id: message.last_event_id.to_owned(),
                    })),
                    Ok(Item::Comment(_)) => {}
                    Err(error) => self.ready.push_back(Err(error)),
                }
            }
            drop(items);
            data.advance(len);
        }
    }
}

impl<B> fmt::Debug for Events<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ready", &self.ready).finish_non_exhaustive()
    }
}
