use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Error;

/// The head of a server's answer.
#[derive(Clone, Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    url: String,
}

/// What an answer means for the connection.
pub(crate) enum Verdict {
    /// An event stream follows (HTML standard 9.2.2, "announce the connection").
    EventStream,
    Redirect,
    NoContent,
    /// Nothing to listen to; its body may say why.
    Refusal(Error),
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

    pub(crate) fn verdict(&self, wall: SystemTime) -> Verdict {
        match self.status.as_u16() {
            200 => {}
            204 => return Verdict::NoContent,
            301 | 302 | 303 | 307 | 308 => return Verdict::Redirect,
            _ => {
                let retry_after = self.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, wall));
                return Verdict::Refusal(Error::Status {
                    status: self.status,
                    body: String::new(),
                    retry_after,
                });
            }
        }
        let content_type = self.headers.get(CONTENT_TYPE);
        if !content_type.is_some_and(is_event_stream) {
            let found = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            return Verdict::Refusal(Error::ContentType { found, body: String::new() });
        }
        match self.headers.get(CONTENT_ENCODING) {
            Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
                Verdict::Refusal(Error::ContentEncoding { encoding })
            }
            _ => Verdict::EventStream,
        }
    }
}

/// Whether the essence of a `Content-Type` is `text/event-stream`: in any case, with any parameters.
fn is_event_stream(value: &HeaderValue) -> bool {
    let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
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
