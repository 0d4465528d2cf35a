//! Heads and responses of HTTP/1.1 as bytes, for connections that hyper does not serve.
//!
//! No I/O; the clock is read for the header `Date`.

use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use super::strict::wrong_host;

/// Returns the head of an event stream, after whose end the connection is closed.
pub(super) fn stream_head(headers: &HeaderMap) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    fields(headers, &mut head);
    head.extend_from_slice(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    head
}

fn fields(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::now())).as_bytes());
}

/// Appends a complete answer.
pub(super) fn write(response: &http::Response<Bytes>, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/1.1 {}\r\n", response.status()).as_bytes());
    fields(response.headers(), out);
    out.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
    out.extend_from_slice(response.body());
}

/// Returns a complete answer, after which the connection ends.
pub(super) fn last(mut response: http::Response<Bytes>) -> Vec<u8> {
    response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    let mut out = Vec::new();
    write(&response, &mut out);
    out
}

/// Parses a request that is a head alone: HTTP/1.1, complete, without a body, and nothing behind it.
pub fn parse(bytes: &[u8]) -> Option<Parts> {
    let (length, request) = first_request(bytes)?;
    let has_more = ["content-length", "transfer-encoding", "upgrade", "expect"];
    let is_alone = length == bytes.len() && has_more.iter().all(|name| !request.headers.contains_key(*name));
    is_alone.then_some(request)
}

/// Parses the head of the first request, and returns its length; HTTP/1.1 with one `Host`.
pub(super) fn first_request(bytes: &[u8]) -> Option<(usize, Parts)> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else { return None };
    if head.version != Some(1) {
        return None;
    }
    let mut request = Request::builder().method(head.method?).uri(head.path?).version(Version::HTTP_11);
    let fields = request.headers_mut()?;
    for header in head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        fields.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    // hyper's path answers this request.
    if wrong_host(Version::HTTP_11, fields).is_some() {
        return None;
    }
    Some((length, request.body(()).ok()?.into_parts().0))
}

/// Whether a request head is valid so far, and incomplete.
pub(super) fn is_half_a_head(bytes: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    matches!(httparse::Request::new(&mut headers).parse(bytes), Ok(httparse::Status::Partial))
}

/// Maximum number of header lines.
const MAX_HEADERS: usize = 64;
