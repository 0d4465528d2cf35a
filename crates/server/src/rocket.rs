//! [`Produce`] as a responder of rocket, [`LastEventId`] as a request guard, and [`Streams`] as a fairing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use rocket::fairing::{self, Fairing, Info, Kind};
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use rocket::tokio::io::{AsyncRead, ReadBuf};
use rocket::{Build, Orbit, Rocket};

use crate::body::SseBody;
use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;
use crate::streams::Streams;

impl<'r> Responder<'r, 'static> for Produce {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let produce = match request.rocket().state::<Attached>() {
            Some(Attached(streams)) => self.within(streams),
            None => self,
        };
        let (parts, body) = produce.response().into_parts();
        let mut response = Response::build();
        response.status(Status::new(parts.status.as_u16()));
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            response.raw_header_adjoin(name.as_str().to_owned(), value);
        }
        // It ends a response whose body fails.
        let body = body.ending_inside_event();
        response.streamed_body(BodyReader { body, rest: Bytes::new() }).ok()
    }
}

/// The body in the form that rocket copies from.
struct BodyReader {
    body: SseBody,
    rest: Bytes,
}

impl AsyncRead for BodyReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(bytes) => self.rest = bytes?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        if self.rest.is_empty() {
            // Drops the piece whose end the body watches.
            self.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for LastEventId {
    type Error = InvalidLastEventId;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        let query = request.uri().query();
        match Self::read(
            |name| request.headers().get_one(name).map(str::as_bytes),
            query.map(|query| query.as_str()),
        ) {
            Ok(id) => Outcome::Success(id),
            Err(error) => Outcome::Error((Status::BadRequest, error)),
        }
    }
}

/// 400 Bad Request, for handlers that take `Result<LastEventId, InvalidLastEventId>`; others get the answer
/// of the catcher.
impl<'r> Responder<'r, 'static> for InvalidLastEventId {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        (Status::BadRequest, self.to_string()).respond_to(request)
    }
}

/// Counts each stream of the application, and ends them when it shuts down.
#[rocket::async_trait]
impl Fairing for Streams {
    fn info(&self) -> Info {
        Info { name: "event streams", kind: Kind::Ignite | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match rocket.state::<Attached>() {
            Some(_) => Err(rocket),
            None => Ok(rocket.manage(Attached(self.clone()))),
        }
    }

    async fn on_shutdown(&self, _rocket: &Rocket<Orbit>) {
        self.shutdown();
    }
}

struct Attached(Streams);
