//! Headers that let pages of other origins use the hub (CORS, Fetch standard, section 3.2).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};

use super::origins::Origins;

/// Whether the request is a preflight: a browser asks whether a page may make a request.
///
/// The answer is 204 with the headers of [`allow_request`].
pub fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds the headers of the answer to a preflight, if the origin is allowed.
pub fn allow_request(request: &Parts, origins: &Origins, answer: &mut HeaderMap) {
    if allow_origin(request, origins, answer) {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        let headers =
            "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID";
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    }
}

/// Adds the headers that let a page read an answer, including an error, if its origin is allowed.
pub fn allow_reading(request: &Parts, origins: &Origins, answer: &mut HeaderMap) {
    if allow_origin(request, origins, answer) {
        let headers =
            "ETag, Last-Event-ID, Link, Mercure-Last-Event-ID, Retry-After, ssekit-reset, WWW-Authenticate";
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(headers));
    }
}

/// Adds the header that allows the origin of the request, and returns whether it is allowed.
///
/// A listed origin may send cookies; where every origin is allowed, none can.
fn allow_origin(request: &Parts, origins: &Origins, answer: &mut HeaderMap) -> bool {
    match origins {
        Origins::None => return false,
        Origins::Any => {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return request.headers.contains_key(ORIGIN);
        }
        // A cache must not give one page the answer to another.
        Origins::Local | Origins::Listed(_) => answer.append(VARY, HeaderValue::from_static("Origin")),
    };
    let Some(origin) = request.headers.get(ORIGIN) else { return false };
    if !origin.to_str().is_ok_and(|origin| origins.has(origin)) {
        return false;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    true
}
