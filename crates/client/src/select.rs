use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use crate::connection::NextItem;
use crate::options::SourceState;
use crate::runtime::{MaybeSend, MaybeSync, ThreadBound};
use crate::store::Store;
use crate::subscribers::{self, Delivery, InboxItem};
use crate::subscription::EventSubscription;
use crate::{Error, Latest, Message, SelectError};

/// The events of one name, or of all, as a stream: every one, in order.
///
/// Made by [`Source::select`](crate::Source::select) and [`Source::select_all`](crate::Source::select_all),
/// and by its own methods, which turn each message into a `T`.
///
/// It subscribes when it is made, so that no event is missed between two selects made one after another, and
/// the connection opens when the first of its streams is first polled. Dropping the stream leaves the
/// connection, and the last one to leave closes it, which aborts the request.
///
/// The stream yields an error in place of an item that it could not give; only
/// [`Closed`](SelectError::Closed), [`EndedEarly`](SelectError::EndedEarly) and
/// [`InvalidName`](SelectError::InvalidName) are the last. It ends when the connection is closed for good,
/// and received events are read first, unless it was closed by [`close`](crate::Source::close): then nothing
/// follows. An ended stream goes on when the connection is [connected](crate::Source::connect) again.
///
/// Unread events wait in a [buffer](crate::Source::buffer); [`WhenFull`](crate::WhenFull) is the policy for a
/// full one.
#[must_use = "a stream does nothing unless it is read"]
pub struct Select<T = Message> {
    /// Left when the last message has come.
    subscription: Option<EventSubscription>,
    map: Map<T>,
    /// The data of the message that is the last one.
    until: Option<Box<str>>,
    /// A name that no event can have, reported once.
    invalid_name: Option<String>,
    /// The close was reported, and the stream has ended.
    is_ended: bool,
}

/// Turns a message into an item; `None` leaves it out.
type Map<T> = Box<dyn FnMut(Message) -> Option<Result<T, SelectError>> + Send>;

/// A message that is not the JSON that was expected; see [`Select::json_or`].
#[derive(Debug)]
#[non_exhaustive]
pub struct JsonFailure<'a, T> {
    /// The error of the parser.
    pub error: serde_json::Error,
    /// Its text.
    pub raw: &'a str,
    /// The last message of this stream that was right.
    pub previous: Option<&'a T>,
}

impl Select {
    pub(crate) fn new(source: Arc<SourceState>, event: Option<&str>) -> Self {
        let invalid_name = event.filter(|name| name.contains(['\r', '\n'])).map(str::to_owned);
        let subscription = Some(EventSubscription::new(source, event.map(Arc::from)));
        let map: Map<Message> = Box::new(|message| Some(Ok(message)));
        Self { subscription, map, until: None, invalid_name, is_ended: false }
    }

    /// Ends at the message with this data, which is not given itself: as `[DONE]` ends the answer of a
    /// language model. The stream then leaves the connection.
    ///
    /// If the server ends the stream before this message, and the connection does not come back, the last
    /// item is the error [`EndedEarly`](SelectError::EndedEarly), so that nobody takes the answer for
    /// complete.
    ///
    /// ```no_run
    /// # async fn example(answer: ssekit::Source) -> Result<(), ssekit::client::SelectError> {
    /// let mut chunks = answer.select("message").until("[DONE]").json::<serde_json::Value>();
    /// while let Some(chunk) = chunks.next().await {
    ///     println!("{}", chunk?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("done", "take_while", "sentinel"))]
    pub fn until(self, data: impl Into<String>) -> Self {
        Self { until: Some(data.into().into()), ..self }
    }

    /// Each message's data, parsed as JSON. One that is not right is a [`Json`](SelectError::Json) error in
    /// its place.
    ///
    /// ```no_run
    /// #[derive(serde::Deserialize)]
    /// struct Quote {
    ///     price: f64,
    /// }
    ///
    /// # async fn example() -> Result<(), ssekit::client::SelectError> {
    /// let mut quotes = ssekit::source("http://localhost:3000/quotes").select("quote").json::<Quote>();
    /// while let Some(quote) = quotes.next().await {
    ///     println!("{}", quote?.price);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn json<T: DeserializeOwned + 'static>(self) -> Select<T> {
        self.map(|message| {
            Some(
                serde_json::from_str(message.data())
                    .map_err(|error| SelectError::Json { message, source: Arc::new(error) }),
            )
        })
    }

    /// Parses each message's data as JSON; `or` returns the replacement of invalid data: another value,
    /// perhaps the previous one, or `None`.
    ///
    /// ```no_run
    /// # use ssekit::source;
    /// let numbers = source("http://localhost:3000/numbers").select("number").json_or(|failure| {
    ///     eprintln!("{:?} is no number: {}", failure.raw, failure.error);
    ///     failure.previous.copied().or(Some(0))
    /// });
    /// ```
    pub fn json_or<T: DeserializeOwned + Clone + MaybeSend + 'static>(
        self,
        mut or: impl FnMut(JsonFailure<'_, T>) -> Option<T> + MaybeSend + 'static,
    ) -> Select<T> {
        let mut previous = None;
        self.map(move |message| match serde_json::from_str::<T>(message.data()) {
            Ok(value) => {
                previous = Some(value.clone());
                Some(Ok(value))
            }
            Err(error) => or(JsonFailure { error, raw: message.data(), previous: previous.as_ref() }).map(Ok),
        })
    }

    /// Messages as values of an enum whose variants are the names of events: the other end of `emit_event` of
    /// `ssekit-server`. See [`ssekit_wire::Message::typed`].
    ///
    /// Select all events for it, so that every variant can come. A message of a name that the enum does not
    /// have, such as a `ping`, is left out; one whose data is not right is a [`Json`](SelectError::Json)
    /// error in its place.
    ///
    /// ```no_run
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum Import {
    ///     Progress { percent: u8 },
    ///     Done,
    /// }
    ///
    /// # async fn example() -> Result<(), ssekit::client::SelectError> {
    /// let mut import = ssekit::source("http://localhost:3000/import").select_all().typed::<Import>();
    /// while let Some(event) = import.next().await {
    ///     match event? {
    ///         Import::Progress { percent } => println!("{percent} %"),
    ///         Import::Done => break,
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("enum", "events"))]
    pub fn typed<T: DeserializeOwned + 'static>(self) -> Select<T> {
        self.map(|message| {
            let (event, data, last_event_id) = (message.event(), message.data(), message.last_event_id());
            let value = ssekit_wire::Message { event, data, last_event_id }.typed()?;
            Some(value.map_err(|error| SelectError::Json { message, source: Arc::new(error) }))
        })
    }

    /// Each message's data, turned into something else.
    ///
    /// ```no_run
    /// # use ssekit::source;
    /// let lengths = source("http://localhost:3000/words").select("word").transform(str::len);
    /// ```
    pub fn transform<T: 'static>(
        self,
        mut transform: impl FnMut(&str) -> T + MaybeSend + 'static,
    ) -> Select<T> {
        self.map(move |message| Some(Ok(transform(message.data()))))
    }

    fn map<T>(
        self,
        map: impl FnMut(Message) -> Option<Result<T, SelectError>> + MaybeSend + 'static,
    ) -> Select<T> {
        let mut map = ThreadBound::new(map);
        let Self { subscription, until, invalid_name, is_ended, .. } = self;
        Select { subscription, map: Box::new(move |message| (*map)(message)), until, invalid_name, is_ended }
    }
}

impl<T: 'static> Select<T> {
    /// The next item; `None` once the connection is closed for good.
    ///
    /// The same as the stream's, for programs that need no more than this. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<T, SelectError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The latest value alone, to be read at any time. Values in between are skipped, and so are invalid
    /// messages, which [`on_error`](crate::Source::on_error) gets.
    pub fn latest(self) -> Latest<T>
    where
        T: MaybeSend + MaybeSync,
    {
        let Self { subscription, mut map, until, .. } = self;
        let store = Arc::new(Store::empty());
        // A stream that has come to its last message has no more values.
        let Some(subscription) = subscription else { return Latest::of(store) };
        let fed = ThreadBound::new(Arc::clone(&store));
        let connection = Arc::downgrade(subscription.source().connection());
        let mut is_over = false;
        let callback: subscribers::Callback = Arc::new(Mutex::new(move |delivery: &Delivery| {
            // Too large an event is reported by the connection itself.
            let Delivery::Message(message) = delivery else { return };
            is_over |= is_last(message, until.as_deref());
            if is_over {
                return;
            }
            match map(message.clone()) {
                Some(Ok(value)) => {
                    fed.put(value);
                    fed.notify();
                }
                Some(Err(SelectError::Json { message, source })) => {
                    if let Some(connection) = connection.upgrade() {
                        connection.report(Error::Json { message, source });
                    }
                }
                Some(Err(_)) | None => {}
            }
        }));
        subscription.call_with(&callback);
        Latest::fed_by(store, subscription)
    }
}

impl<T: 'static> Stream for Select<T> {
    type Item = Result<T, SelectError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(name) = this.invalid_name.clone() {
            let was_reported = std::mem::replace(&mut this.is_ended, true);
            return Poll::Ready((!was_reported).then_some(Err(SelectError::InvalidName { name })));
        }
        loop {
            let Some(subscription) = &this.subscription else { return Poll::Ready(None) };
            let next = match subscription.poll(context) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    this.is_ended = false;
                    return Poll::Pending;
                }
            };
            let item = match next {
                NextItem::Inbox(InboxItem::Delivery(Delivery::Message(message))) => {
                    if is_last(&message, this.until.as_deref()) {
                        this.subscription = None;
                        return Poll::Ready(None);
                    }
                    match (this.map)(message) {
                        Some(item) => item,
                        None => continue,
                    }
                }
                NextItem::Inbox(InboxItem::Delivery(Delivery::TooLarge { limit })) => {
                    Err(SelectError::EventTooLarge { limit })
                }
                NextItem::Inbox(InboxItem::Lagged(lost)) => Err(SelectError::Lagged { lost }),
                NextItem::Closed(reason) => {
                    if std::mem::replace(&mut this.is_ended, true) {
                        return Poll::Ready(None);
                    }
                    match (reason.error(), &this.until) {
                        (Some(error), _) => Err(SelectError::Closed(error.clone())),
                        (None, Some(until)) if !reason.is_local() => {
                            Err(SelectError::EndedEarly { until: (**until).to_owned() })
                        }
                        (None, _) => return Poll::Ready(None),
                    }
                }
            };
            return Poll::Ready(Some(item));
        }
    }
}

/// Whether the stream ends at this message.
fn is_last(message: &Message, until: Option<&str>) -> bool {
    until.is_some_and(|until| until == message.data())
}

impl<T> fmt::Debug for Select<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
