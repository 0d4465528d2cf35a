//! What obeys: carries a session's outputs out, and tells it what happened.

use std::any::Any;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, StatusCode};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::connection::{Asking, Connect, Connection, HeadersFrom};
use crate::latest::panic_text;
use crate::session::{Output, Session};
use crate::subscribers::{Delivery, Offer};
use crate::transport::{Body, Sending};
use crate::{BoxError, CloseReason, Error, TransportError};

/// At most this many bytes are decoded before what they hold is delivered, which bounds what waits in between.
const PIECE: usize = 16 << 10;

/// Opens the connection and runs it until it is closed for good.
pub(crate) async fn drive(connection: Arc<Connection>, mut session: Box<Session>) {
    session.start(now());
    let mut driver = Driver { connection, session: Some(session), wire: Wire::Nothing, has_waited: false };
    driver.run().await;
}

struct Driver {
    connection: Arc<Connection>,
    /// Given back when the connection is closed.
    session: Option<Box<Session>>,
    wire: Wire,
    /// Delivering has taken a while.
    has_waited: bool,
}

/// What is under way.
enum Wire {
    Nothing,
    Asking(Asking),
    Sending(Sending),
    Reading { body: Body, rest: Bytes },
}

/// What has happened on the wire.
enum Happened {
    Headers(Result<HeaderMap, BoxError>),
    Answered(StatusCode, HeaderMap),
    Read,
    Ended,
    Failed(TransportError),
    /// A deadline has passed.
    Tick,
    /// There may be orders.
    Woken,
}

impl Driver {
    async fn run(&mut self) {
        loop {
            self.take_orders();
            let Some(session) = &mut self.session else { return };
            if let Some(output) = session.next_output() {
                self.obey(output).await;
                continue;
            }
            self.connection.wake_readers();
            if let Wire::Reading { rest, .. } = &mut self.wire
                && !rest.is_empty()
            {
                let piece = rest.split_to(rest.len().min(PIECE));
                session.bytes(&piece, now());
                self.connection.note(session);
                continue;
            }
            if std::mem::take(&mut self.has_waited) {
                session.reading(now());
            }
            let deadline = session.deadline();
            let happened = tokio::select! {
                biased;
                () = self.connection.woken() => Happened::Woken,
                happened = self.wire.next() => happened,
                () = at(deadline) => Happened::Tick,
            };
            self.happened(happened);
        }
    }

    fn take_orders(&mut self) {
        // Orders that come while it closes are for the end of it.
        let Some(session) = self.session.as_mut().filter(|session| !session.is_closed()) else { return };
        let orders = self.connection.take_orders();
        if let Some(reason) = orders.close {
            session.close(reason);
        }
        match orders.connect {
            Some(Connect::Now) => session.start(now()),
            Some(Connect::Later(error)) => session.start_later(error, now()),
            None => {}
        }
        if orders.restart {
            session.restart(now());
        }
    }

    fn happened(&mut self, happened: Happened) {
        let Some(session) = &mut self.session else { return };
        let now = now();
        match happened {
            Happened::Headers(headers) => session.headers(headers, now),
            Happened::Answered(status, headers) => session.opened(status, headers, now, SystemTime::now()),
            Happened::Read | Happened::Woken => {}
            Happened::Ended => session.ended(now),
            Happened::Failed(error) => session.failed(error, now),
            Happened::Tick => session.tick(now),
        }
    }

    async fn obey(&mut self, output: Output) {
        let connection = &self.connection;
        match output {
            Output::AskHeaders => {
                if let Some(headers_from) = &connection.headers_from {
                    self.wire = Wire::Asking(ask(headers_from));
                }
            }
            Output::Connect(request) => self.wire = Wire::Sending(connection.transport.send(request)),
            Output::Disconnect => self.wire = Wire::Nothing,
            Output::Status(status) => connection.set_status(status),
            Output::Response(response) => connection.set_response(response),
            Output::Opened => connection.tell_opened(),
            Output::Message(message) => self.deliver(&Delivery::Message(message)).await,
            Output::Comment(text) => connection.tell_comment(&text),
            Output::TooLarge { limit } => {
                connection.report(Error::EventTooLarge { limit });
                self.deliver(&Delivery::TooLarge { limit }).await;
            }
            Output::Error(error) => connection.report(error),
            Output::Closed(reason) => self.closed(reason),
        }
    }

    async fn deliver(&mut self, delivery: &Delivery) {
        let connection = &self.connection;
        connection.call(delivery);
        let mut forces = false;
        while !connection.is_told_to_close() {
            match connection.offer(delivery) {
                Offer::Taken => return,
                Offer::Full => {
                    connection.wake_readers();
                    connection.woken().await;
                    self.has_waited = true;
                }
                Offer::Losing if forces => return connection.force(delivery),
                Offer::Losing => {
                    connection.wake_readers();
                    yield_now().await;
                    forces = true;
                }
            }
        }
    }

    fn closed(&mut self, reason: CloseReason) {
        self.connection.tell_closed(&reason);
        let Some(session) = self.session.take() else { return };
        if let Some((mut session, connect)) = self.connection.end(session, reason) {
            match connect {
                Connect::Now => session.start(now()),
                Connect::Later(error) => session.start_later(error, now()),
            }
            self.session = Some(session);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if std::thread::panicking() {
            // A transport's doing, or a mistake here. It would happen again, so nothing is opened again.
            let text = "its task has died".to_owned();
            self.connection.fail(session, Error::Panicked { what: "the connection", text });
        } else {
            self.connection.abandon(session);
        }
    }
}

impl Wire {
    /// Waits for what happens next. Cancel safe.
    async fn next(&mut self) -> Happened {
        match self {
            Self::Nothing => pending().await,
            Self::Asking(asking) => {
                let headers = asking.as_mut().await;
                *self = Self::Nothing;
                Happened::Headers(headers)
            }
            Self::Sending(sending) => match sending.as_mut().await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    *self = Self::Reading { body, rest: Bytes::new() };
                    Happened::Answered(head.status, head.headers)
                }
                Err(error) => {
                    *self = Self::Nothing;
                    Happened::Failed(error)
                }
            },
            Self::Reading { body, rest } => match next(body).await {
                Some(Ok(bytes)) => {
                    *rest = bytes;
                    Happened::Read
                }
                Some(Err(error)) => {
                    *self = Self::Nothing;
                    Happened::Failed(error)
                }
                None => {
                    *self = Self::Nothing;
                    Happened::Ended
                }
            },
        }
    }
}

/// Asks for headers; a panic is an error like any other.
fn ask(headers_from: &HeadersFrom) -> Asking {
    let panicked = |panic: Box<dyn Any + Send>| {
        BoxError::from(format!("headers_from panicked: {}", panic_text(&*panic)))
    };
    match catch_unwind(AssertUnwindSafe(|| headers_from())) {
        Ok(asking) => Box::pin(async move {
            AssertUnwindSafe(asking).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic)))
        }),
        Err(panic) => Box::pin(ready(Err(panicked(panic)))),
    }
}

async fn next(body: &mut Body) -> Option<Result<Bytes, TransportError>> {
    std::future::poll_fn(|context| body.as_mut().poll_next(context)).await
}

async fn at(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(Instant::from_std(deadline)).await,
        None => pending().await,
    }
}

/// The runtime's clock, which tests may stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
