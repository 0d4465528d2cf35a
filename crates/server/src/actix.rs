//! [`Produce`] as a responder of actix-web, [`LastEventId`] as an extractor, and [`Streams`] as a middleware.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use actix_web::body::{BodyStream, EitherBody, None as NoBody};
use actix_web::dev::{Payload, Service, ServiceRequest, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, ResponseError};
use http_body::Body as _;

use crate::body::SseBody;
use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;
use crate::streams::Streams;
use crate::within::{Scoped, Within};

impl Responder for Produce {
    type Body = EitherBody<BodyStream<SseBody>, NoBody>;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse<Self::Body> {
        let (parts, body) = self.response().into_parts();
        // actix-web speaks `http` 0.2, which knows the same statuses and headers in types of its own.
        let status = StatusCode::from_u16(parts.status.as_u16()).expect("a status of http 1");
        let body = match body.is_end_stream() {
            // It would write a last chunk after a head that has no body, as of 204.
            true => EitherBody::right(NoBody::new()),
            false => EitherBody::left(BodyStream::new(body)),
        };
        let mut response = HttpResponse::with_body(status, body);
        let headers = response.headers_mut();
        for (name, value) in &parts.headers {
            headers.append(
                HeaderName::from_bytes(name.as_ref()).expect("a name of http 1"),
                HeaderValue::from_bytes(value.as_bytes()).expect("a value of http 1"),
            );
        }
        // The only sign that `middleware::Compress` obeys.
        if !headers.contains_key(CONTENT_ENCODING) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }
}

impl FromRequest for LastEventId {
    type Error = InvalidLastEventId;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Self::read(|name| Some(request.headers().get(name)?.as_bytes()), request.uri().query()))
    }
}

/// 400 Bad Request.
impl ResponseError for InvalidLastEventId {
    fn status_code(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// Counts each stream of the service, as [`Streams::scope`] does.
impl<S: Service<ServiceRequest>> Transform<S, ServiceRequest> for Streams {
    type Response = S::Response;
    type Error = S::Error;
    type InitError = ();
    type Transform = Within<S>;
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(Within { inner, streams: self.clone() }))
    }
}

impl<S: Service<ServiceRequest>> Service<ServiceRequest> for Within<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Scoped<S::Future>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        self.streams.scope_call(|| self.inner.call(request))
    }
}
