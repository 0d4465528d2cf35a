//! Errors for the failures of the session.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ssekit_session::Failure;

use super::Driver;
use crate::connection::Connection;
use crate::request::Attempt;
use crate::{BoxError, Error};

impl Driver {
    pub(super) fn error_of(&self, failure: Failure<Error>) -> Error {
        let config = self.session.as_ref().map(|session| session.config());
        let response = self.connection.response();
        let text = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        match failure {
            Failure::Request(error) | Failure::Connect(error) | Failure::Read(error) => error,
            Failure::ConnectTimeout if self.attempt.is_none() => {
                Error::HeadersFrom(Arc::from(BoxError::from("it took longer than the connect timeout")))
            }
            Failure::ConnectTimeout => Error::ConnectTimeout {
                url: asked_url(&self.connection, &self.attempt),
                after: config.map(|it| it.connect_timeout).unwrap_or_default(),
            },
            Failure::ReadTimeout => {
                Error::ReadTimeout { after: config.and_then(|it| it.read_timeout).unwrap_or_default() }
            }
            Failure::NoContent => Error::NoContent,
            Failure::Status { status, body, retry_after } => Error::Status {
                status: StatusCode::from_u16(status).unwrap_or_default(),
                body: text(body),
                retry_after,
            },
            Failure::ContentType { body } => Error::ContentType {
                found: response.and_then(|response| response.text_of(&CONTENT_TYPE)),
                body: text(body),
            },
            Failure::ContentEncoding => Error::ContentEncoding {
                encoding: response
                    .and_then(|response| response.text_of(&CONTENT_ENCODING))
                    .unwrap_or_default(),
            },
            Failure::Frozen => Error::Frozen,
            _ => Error::Ended,
        }
    }
}

/// The URL that was asked last, for messages.
pub(super) fn asked_url(connection: &Connection, attempt: &Option<Attempt>) -> String {
    attempt.as_ref().map_or_else(|| connection.url.clone(), Attempt::display_url)
}
