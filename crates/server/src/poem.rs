//! [`Produce`] as a response of poem, and [`LastEventId`] as an extractor.

use http::StatusCode;
use poem::error::ResponseError;
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};

use crate::last_event_id::{HEADER, InvalidLastEventId, LastEventId};
use crate::produce::Produce;

impl IntoResponse for Produce {
    fn into_response(self) -> Response {
        self.response().into()
    }
}

impl<'a> FromRequest<'a> for LastEventId {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let header = request.headers().get(HEADER);
        Ok(Self::read(header.map(|value| value.as_bytes()), request.uri().query())?)
    }
}

/// 400 Bad Request.
impl ResponseError for InvalidLastEventId {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}
