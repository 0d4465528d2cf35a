//! [`Produce`] as a response of poem, [`LastEventId`] as an extractor, and [`Streams`] as a middleware.

use http::StatusCode;
use poem::error::ResponseError;
use poem::{Endpoint, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response};

use crate::body::SseBody;
use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;
use crate::streams::Streams;
use crate::within::Within;

impl IntoResponse for Produce {
    fn into_response(self) -> Response {
        // It polls a connection that has failed once more, and hyper then ends the response.
        self.response().map(SseBody::ending_inside_event).into()
    }
}

impl<'a> FromRequest<'a> for LastEventId {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::read(|name| Some(request.headers().get(name)?.as_bytes()), request.uri().query())?)
    }
}

/// 400 Bad Request.
impl ResponseError for InvalidLastEventId {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Counts each stream of the endpoint, as [`Streams::scope`] does.
impl<E: Endpoint> Middleware<E> for Streams {
    type Output = Within<E>;

    fn transform(&self, inner: E) -> Within<E> {
        Within { inner, streams: self.clone() }
    }
}

impl<E: Endpoint> Endpoint for Within<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let answer = async { self.inner.call(request).await.map(IntoResponse::into_response) };
        self.streams.scope(answer).await
    }
}
