//! Events of a response that another HTTP client has requested. They decode, and do not reconnect.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use serde::de::DeserializeOwned;
use ssekit_wire::{DecodeError, Decoder, Item};

use crate::message::{is_last, parse_json, parse_typed};
use crate::{BoxError, Error, Message, SelectError, TransportError};

/// Decodes the body of an open response: any stream of bytes, of any HTTP client.
///
/// Each message is an item. If the body fails or ends inside an event, the last item is the error
/// [`Closed`](SelectError::Closed). Nothing reconnects, because the caller owns the request:
/// [`source`](crate::source) does that. One piece of the body is decoded at a time, and an event has at most
/// [`max_event_bytes`](Events::max_event_bytes).
///
/// ```no_run
/// use ssekit::events;
///
/// # async fn example(body: impl futures_core::Stream<Item = Result<bytes::Bytes, std::io::Error>>)
/// # -> Result<(), ssekit::client::SelectError> {
/// // reqwest: `response.bytes_stream()`; hyper and axum: `body.into_data_stream()` of `http-body-util`
/// let mut chunks = events(body).until("[DONE]").json::<serde_json::Value>();
/// while let Some(chunk) = chunks.next().await {
///     println!("{}", chunk?);
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias("decode", "eventsource", "bytes_stream", "parse"))]
pub fn events<S, B, E>(body: S) -> Events<S>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: Into<BoxError>,
{
    Events { body: Some(Box::pin(body)), decoding: Decoding::new() }
}

/// Decodes the body of an open response that a thread reads, such as that of `ureq`, or a file.
///
/// It is the blocking form of [`events`]: an iterator with the same items.
///
/// ```
/// let recorded = b"data: one\n\ndata: two\n\n";
/// let events: Result<Vec<_>, _> = ssekit::client::events_of(&recorded[..]).collect();
/// assert_eq!(events?[1].data(), "two");
/// # Ok::<(), ssekit::client::SelectError>(())
/// ```
#[doc(alias("decode", "blocking", "reader", "ureq"))]
pub fn events_of<R: Read>(body: R) -> EventsOf<R> {
    EventsOf { body: Some(body), buffer: vec![0; READ].into(), decoding: Decoding::new() }
}

/// The events of a body, as a stream. Made by [`events`].
#[must_use = "events do nothing unless they are read"]
pub struct Events<S, T = Message> {
    /// Until it has ended.
    body: Option<Pin<Box<S>>>,
    decoding: Decoding<T>,
}

/// The events of a body, as an iterator. Made by [`events_of`].
#[must_use = "events do nothing unless they are read"]
pub struct EventsOf<R, T = Message> {
    /// Until it has ended.
    body: Option<R>,
    buffer: Box<[u8]>,
    decoding: Decoding<T>,
}

/// The options of both.
macro_rules! options {
    ($type:ident<$body:ident>, $($field:ident),+) => {
        impl<$body> $type<$body> {
            /// Limits the size of one event; see [`Source::max_event_bytes`](crate::Source::max_event_bytes).
            pub fn max_event_bytes(mut self, limit: usize) -> Self {
                self.decoding.decoder = self.decoding.decoder.with_max_event_bytes(limit);
                self
            }

            /// Ends at the message with this data, as [`Select::until`](crate::Select::until) does.
            ///
            /// If the body ends before this message, the last item is the error
            /// [`EndedEarly`](SelectError::EndedEarly).
            #[doc(alias("done", "sentinel"))]
            pub fn until(mut self, data: impl Into<String>) -> Self {
                self.decoding.until = Some(data.into().into());
                self
            }

            /// Parses the data of each message as JSON. Invalid data is a [`Json`](SelectError::Json) error in
            /// its place.
            pub fn json<T: DeserializeOwned + 'static>(self) -> $type<$body, T> {
                self.map(|message| Some(parse_json(message)))
            }

            /// Reads messages as values of an enum whose variants are the names of events, as
            /// [`Select::typed`](crate::Select::typed) does.
            pub fn typed<T: DeserializeOwned + 'static>(self) -> $type<$body, T> {
                self.map(parse_typed)
            }

            fn map<T>(
                self,
                map: impl FnMut(Message) -> Option<Result<T, SelectError>> + Send + 'static,
            ) -> $type<$body, T> {
                let Self { $($field,)+ decoding } = self;
                $type { $($field,)+ decoding: decoding.map(map) }
            }
        }
    };
}

options!(Events<S>, body);
options!(EventsOf<R>, body, buffer);

impl<S, T, B, E> Events<S, T>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: Into<BoxError>,
{
    /// The next item; `None` when the body has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<T, SelectError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<S, T, B, E> Stream for Events<S, T>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: Into<BoxError>,
{
    type Item = Result<T, SelectError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { body, decoding } = self.get_mut();
        loop {
            if let Some(item) = decoding.next() {
                return Poll::Ready(Some(item));
            }
            let Some(open) = body.as_mut().filter(|_| !decoding.is_over) else {
                *body = None;
                return Poll::Ready(None);
            };
            match ready!(open.as_mut().poll_next(context)) {
                Some(Ok(piece)) => decoding.feed(piece.as_ref()),
                end => {
                    *body = None;
                    return Poll::Ready(decoding.end(end.and_then(Result::err)).map(Err));
                }
            }
        }
    }
}

impl<R: Read, T> Iterator for EventsOf<R, T> {
    type Item = Result<T, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { body, buffer, decoding } = self;
        loop {
            if let Some(item) = decoding.next() {
                return Some(item);
            }
            let Some(open) = body.as_mut().filter(|_| !decoding.is_over) else {
                *body = None;
                return None;
            };
            match open.read(buffer) {
                Ok(0) => {
                    *body = None;
                    return decoding.end(None::<io::Error>).map(Err);
                }
                Ok(read) => decoding.feed(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    *body = None;
                    return decoding.end(Some(error)).map(Err);
                }
            }
        }
    }
}

/// The decisions of both, without I/O.
struct Decoding<T> {
    decoder: Decoder,
    /// The messages of the last piece that were not given yet.
    ready: VecDeque<Result<Message, DecodeError>>,
    map: Map<T>,
    /// The data of the message that is the last one.
    until: Option<Box<str>>,
    /// The last message has come.
    is_over: bool,
}

/// Turns a message into an item; `None` leaves it out.
type Map<T> = Box<dyn FnMut(Message) -> Option<Result<T, SelectError>> + Send>;

impl Decoding<Message> {
    fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            ready: VecDeque::new(),
            map: Box::new(|message| Some(Ok(message))),
            until: None,
            is_over: false,
        }
    }

    fn map<T>(
        self,
        map: impl FnMut(Message) -> Option<Result<T, SelectError>> + Send + 'static,
    ) -> Decoding<T> {
        let Self { decoder, ready, until, is_over, .. } = self;
        Decoding { decoder, ready, map: Box::new(map), until, is_over }
    }
}

impl<T> Decoding<T> {
    fn feed(&mut self, piece: &[u8]) {
        let mut items = self.decoder.feed(piece);
        while let Some(item) = items.next() {
            match item {
                Ok(Item::Message(message)) => self.ready.push_back(Ok(Message::new(
                    message.event.into(),
                    message.data.into(),
                    message.last_event_id.into(),
                ))),
                Ok(Item::Comment(_)) => {}
                Err(error) => self.ready.push_back(Err(error)),
            }
        }
    }

    /// The next decoded item.
    fn next(&mut self) -> Option<Result<T, SelectError>> {
        while !self.is_over {
            match self.ready.pop_front()? {
                Ok(message) if is_last(&message, self.until.as_deref()) => self.is_over = true,
                Ok(message) => {
                    if let Some(item) = (self.map)(message) {
                        return Some(item);
                    }
                }
                Err(DecodeError::EventTooLarge { limit } | DecodeError::CommentTooLarge { limit }) => {
                    return Some(Err(SelectError::EventTooLarge { limit }));
                }
                Err(_) => {}
            }
        }
        None
    }

    /// The item for the end of the body, if it did not end as it should.
    fn end(&mut self, error: Option<impl Into<BoxError>>) -> Option<SelectError> {
        self.is_over = true;
        if let Some(error) = error {
            return Some(SelectError::Closed(Error::Read(TransportError::caused_by(error))));
        }
        if self.decoder.is_inside_event() {
            return Some(SelectError::Closed(Error::IncompleteEvent));
        }
        let until = self.until.as_deref()?;
        Some(SelectError::EndedEarly { until: until.to_owned() })
    }
}

impl<S, T> fmt::Debug for Events<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("is_open", &self.body.is_some()).finish_non_exhaustive()
    }
}

impl<R, T> fmt::Debug for EventsOf<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventsOf").field("is_open", &self.body.is_some()).finish_non_exhaustive()
    }
}

/// The bytes of one read.
const READ: usize = 16 << 10;
