use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};
use sync_wrapper::SyncWrapper;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::channel::reader::{Read, Reader};
use crate::compress::{Encoder, Piece};
use crate::emit_error::EmitError;
use crate::emitter::Emitter;
use crate::error::Error;
use crate::outbox::{NextAction, Outbox};
use crate::queue::Ping;
use crate::start::{Running, Start, StartFuture, StartOutcome};
use crate::stop::{CleanUp, Stop, StopReason, catch_panic, log_panic};
use crate::timers::StreamTimers;

/// The body of the response: the stream itself, driven by the connection that reads it.
///
/// It is an [`http_body::Body`] and a [`Stream`] of the same bytes, for frameworks that take the one or the
/// other. `start` runs with the first poll, which must happen inside a tokio runtime with time enabled. A
/// connection drops the body when the client is gone: that drops the future of `start`, closes the emitters,
/// and runs `on_stop` and the clean-up.
///
/// It learns that the client reads when the transport drops the bytes that it was handed. A program that
/// collects a body instead of sending it, as a test does, turns that off by
/// [`no_stall_timeout`](crate::Produce::no_stall_timeout).
pub struct SseBody {
    outbox: Arc<Outbox>,
    start_state: StartState,
    /// The channels that this stream reads, until they have ended.
    reader: Option<Reader>,
    encoder: Option<Box<SyncWrapper<Encoder>>>,
    stop: Stop,
    timers: StreamTimers,
    ping: Ping,
    timer: Option<Pin<Box<Sleep>>>,
    has_begun: bool,
    /// The transport had no turn to flush since the last poll handed out bytes, or since the beginning.
    unflushed: bool,
    /// Why the response is cut, once the transport has flushed its bytes.
    cut: Option<BodyError>,
    /// The framework cannot cut a response: the bytes of one that is incomplete end in the middle of an
    /// event.
    ends_inside_event: bool,
    ended: bool,
}

/// The result of reading in the channels.
enum Step {
    Send(Bytes),
    /// Something has changed.
    Again,
    Wait,
}

/// The progress of `start`.
enum StartState {
    Waiting(SyncWrapper<Start>, Emitter),
    Running(SyncWrapper<StartFuture>),
    Done,
}

const INCOMPLETE_EVENT: &[u8] = b"event: incomplete\ndata:";

/// Why a body ends with an error instead of an end: the transport then cuts the response, so that no client
/// takes it for complete. [`on_stop`](crate::Produce::on_stop) gets the [`StopReason`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client has not read for the [stall time](crate::Produce::stall_timeout).
    #[error(
        "the client has not read for {after:?}: its connection is closed (a body that is collected instead of \
         sent needs `no_stall_timeout`)"
    )]
    Stalled {
        /// For how long it had not.
        after: Duration,
    },
    /// The client did not read the rest of the stream when the server [shut down](crate::Streams::shutdown).
    #[error(
        "the server is shutting down, and the client has not read the rest of its stream: its connection is \
         closed"
    )]
    ShutDown,
    /// The stream [failed](StopReason::Failed) or was [overtaken](StopReason::Overtaken): the client lacks a
    /// part of it.
    #[error("the event stream is incomplete: {reason}")]
    Incomplete {
        /// The text of the [`StopReason`].
        reason: String,
    },
}

impl From<BodyError> for std::io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match error {
            BodyError::Stalled { .. } | BodyError::ShutDown => std::io::ErrorKind::TimedOut,
            BodyError::Incomplete { .. } => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl SseBody {
    /// A body that has not begun. It never starts when its stream ends before it is polled.
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        start: Option<(SyncWrapper<Start>, Emitter)>,
        reader: Option<Reader>,
        encoder: Option<Encoder>,
        stop: Stop,
        timers: StreamTimers,
        ping: Ping,
    ) -> Self {
        let start_state =
            start.map_or(StartState::Done, |(start, emitter)| StartState::Waiting(start, emitter));
        let encoder = encoder.map(|encoder| Box::new(SyncWrapper::new(encoder)));
        Self {
            outbox,
            start_state,
            reader,
            encoder,
            stop,
            timers,
            ping,
            timer: None,
            has_begun: false,
            unflushed: true,
            cut: None,
            ends_inside_event: false,
            ended: false,
        }
    }

    /// A body without a byte.
    pub(crate) fn empty() -> Self {
        let timers = StreamTimers::new(None, None, Instant::now());
        let (outbox, stop) = (Arc::new(Outbox::new(None)), Stop::default());
        let mut body = Self::new(outbox, None, None, None, stop, timers, Ping::Event);
        body.ended = true;
        body
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let polled = match self.ended {
            true => self.poll_end(cx),
            false => self.poll_stream(cx),
        };
        self.unflushed = matches!(polled, Poll::Ready(Some(Ok(_))));
        polled
    }

    /// For a framework that ends a response whose body fails as if it were complete.
    #[cfg(any(feature = "poem", feature = "rocket"))]
    pub(crate) fn ending_inside_event(mut self) -> Self {
        self.ends_inside_event = true;
        self
    }

    /// Fails the response if it must be cut. A transport that copies its input drops the copy when the body
    /// fails, and the head of the response too, so it gets a turn before, in which it flushes.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.cut.is_some() && self.unflushed {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.cut.take().map(Err))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut now = Instant::now();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.timers.begin(now);
            match self.outbox.is_closed() {
                true => self.drop_start(),
                false => self.start(),
            }
        }
        self.poll_start(cx);
        loop {
            if let Some(retry) = self.timers.take_expired(now) {
                self.outbox.end_with_retry(StopReason::Expired, retry);
            }
            let more_may_come = matches!(self.start_state, StartState::Running(_)) || self.reader.is_some();
            let compress = self.encoder.is_some();
            match self.outbox.next_action(
                &mut self.timers,
                self.ping,
                more_may_come,
                compress,
                cx.waker(),
                now,
            ) {
                NextAction::Send(bytes) => return Poll::Ready(Some(Ok(bytes))),
                NextAction::Compress(bytes) => self.offer(Ok(bytes)),
                NextAction::End(reason) if reason.is_incomplete() => {
                    self.cut = Some(BodyError::Incomplete { reason: reason.to_string() });
                    let incomplete = self.ends_inside_event.then(|| self.incomplete_event()).flatten();
                    self.end(reason);
                    return match incomplete {
                        Some(incomplete) => Poll::Ready(Some(Ok(incomplete))),
                        None => self.poll_end(cx),
                    };
                }
                NextAction::End(reason) => {
                    let last = self.encoder.take().and_then(|encoder| encoder.into_inner().finish().ok());
                    self.end(reason);
                    return Poll::Ready(last.filter(|last| !last.is_empty()).map(Ok));
                }
                NextAction::Stalled(after) => {
                    self.end(StopReason::Stalled { after });
                    return Poll::Ready(Some(Err(BodyError::Stalled { after })));
                }
                NextAction::Cut => {
                    self.end(StopReason::Shutdown);
                    return Poll::Ready(Some(Err(BodyError::ShutDown)));
                }
                NextAction::Wait { until, room, same } => {
                    if room {
                        match self.read(cx, now) {
                            Step::Send(bytes) => return Poll::Ready(Some(Ok(bytes))),
                            Step::Again => continue,
                            Step::Wait => {}
                        }
                    } else if let Some(reader) = &mut self.reader {
                        reader.flush_if_due(now);
                    }
                    let read_again = self.reader.as_ref().and_then(Reader::wake_at);
                    let Some(at) = until.into_iter().chain(read_again).min() else { return Poll::Pending };
                    // A timer that wakes the polling task, and not too late, is left as it is.
                    if same && self.is_timed(at, now) {
                        return Poll::Pending;
                    }
                    ready!(self.poll_until(at, cx));
                    now = Instant::now();
                }
            }
        }
    }

    /// Reads on in the channels.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Step {
        let Some(reader) = &mut self.reader else { return Step::Wait };
        match reader.poll(cx, now) {
            Poll::Pending => return Step::Wait,
            Poll::Ready(Read::Bytes(bytes)) if self.encoder.is_none() => {
                match self.outbox.track_whole(bytes, &mut self.timers, now) {
                    Ok(bytes) => return Step::Send(bytes),
                    Err(bytes) => self.outbox.offer(bytes),
                }
            }
            Poll::Ready(Read::Bytes(bytes)) => self.offer(Ok(bytes)),
            Poll::Ready(Read::Compressed(piece)) => self.offer(Err(piece)),
            Poll::Ready(Read::Closed) => self.reader = None,
            Poll::Ready(Read::Ended(reason)) => {
                self.reader = None;
                self.outbox.end(reason);
            }
        }
        Step::Again
    }

    /// Offers bytes to be handed out next, compressed if this stream is.
    fn offer(&mut self, bytes: Result<Bytes, Piece>) {
        let offered = match (self.encoder.as_mut().map(|encoder| encoder.get_mut()), bytes) {
            (None, Ok(bytes)) => bytes,
            (Some(encoder), Ok(bytes)) => match encoder.encode(&bytes) {
                Ok(bytes) => bytes,
                Err(error) => return self.outbox.end(StopReason::Failed(error.into())),
            },
            (Some(encoder), Err(piece)) => encoder.append(&piece),
            // Only a stream that is compressed asks for such pieces.
            (None, Err(_)) => return,
        };
        self.outbox.offer(offered);
    }

    /// An event without its end, which every decoder drops and ours reports.
    fn incomplete_event(&mut self) -> Option<Bytes> {
        match &mut self.encoder {
            Some(encoder) => encoder.get_mut().encode(INCOMPLETE_EVENT).ok(),
            None => Some(Bytes::from_static(INCOMPLETE_EVENT)),
        }
    }

    /// Runs `start` up to where it returns or first waits.
    fn start(&mut self) {
        let StartState::Waiting(start, emitter) = std::mem::replace(&mut self.start_state, StartState::Done)
        else {
            return;
        };
        match catch_panic(|| start.into_inner()(emitter)) {
            Ok(Running(StartOutcome::Pending(future))) => {
                self.start_state = StartState::Running(SyncWrapper::new(future))
            }
            Ok(Running(StartOutcome::Done(result))) => self.started(result),
            Err(panic) => self.started(Err(panic)),
        }
    }

    /// Polls the future of `start`.
    fn poll_start(&mut self, cx: &mut Context<'_>) {
        let StartState::Running(future) = &mut self.start_state else { return };
        let result = match catch_panic(|| future.get_mut().as_mut().poll(cx)) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(panic),
        };
        self.drop_start();
        self.started(result);
    }

    fn started(&mut self, result: Result<CleanUp, Error>) {
        match result {
            Ok(clean_up) => self.stop.clean_up(clean_up),
            Err(error) if !self.outbox.is_closed() => self.outbox.end(StopReason::Failed(error)),
            // The stream was unlocked while `start` ran, and `start` has noticed.
            Err(error) if matches!(error.downcast_ref(), Some(EmitError::Closed)) => {}
            Err(error) => tracing::error!(%error, "start failed after its stream had been closed"),
        }
    }

    fn is_timed(&self, at: Instant, now: Instant) -> bool {
        self.timer.as_ref().is_some_and(|timer| timer.deadline() <= at && timer.deadline() > now)
    }

    /// Waits for the time to come, by one timer that is moved only when it would be late.
    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at || timer.is_elapsed() {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    fn end(&mut self, reason: StopReason) {
        self.ended = true;
        let given = self.outbox.close();
        self.drop_start();
        self.reader = None;
        self.timer = None;
        self.encoder = None;
        self.stop.run(given.unwrap_or(reason));
    }

    fn drop_start(&mut self) {
        let start_state = std::mem::replace(&mut self.start_state, StartState::Done);
        log_panic("dropping start", || drop(start_state));
    }
}

impl Drop for SseBody {
    fn drop(&mut self) {
        if !self.ended {
            self.end(StopReason::Disconnected);
        }
    }
}

impl Body for SseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_bytes(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.cut.is_none()
    }
}

impl Stream for SseBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_bytes(cx)
    }
}

impl fmt::Debug for SseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}
