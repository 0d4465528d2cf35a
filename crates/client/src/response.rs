use std::fmt;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use ssekit_session::Answer;

use crate::redact::redacted_text;

/// The head of a server's answer.
#[derive(Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    url: String,
}

impl Response {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, url: String) -> Self {
        Self { status, headers, url }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The URL that answered: the last one when redirects were followed. Without user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }

    /// The parts of it that decide the state of the connection.
    pub(crate) fn answer(&self, wall: SystemTime) -> Answer<'_> {
        // A value that is not text is none of the expected ones.
        let text = |name: &HeaderName| {
            let value = self.headers.get(name)?.as_bytes();
            // A parameter may hold anything.
            let value = value.split(|&byte| byte == b';').next().unwrap_or_default();
            Some(std::str::from_utf8(value).unwrap_or("?"))
        };
        Answer {
            status: self.status.as_u16(),
            content_type: text(&CONTENT_TYPE),
            content_encoding: text(&CONTENT_ENCODING),
            retry_after: self.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, wall)),
        }
    }

    pub(crate) fn text_of(&self, name: &HeaderName) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

/// Omits possible secrets: the query of the URL and the values of headers.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("url", &redacted_text(&self.url))
            .finish()
    }
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue, wall: SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(wall).unwrap_or_default())
}
