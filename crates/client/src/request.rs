use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING,
    CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION,
    PRAGMA, PROXY_AUTHORIZATION, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use percent_encoding::percent_decode_str;
use ssekit_session::MethodClass;
use url::Url;

use crate::redact::{redacted, redacted_text, without_credentials};
use crate::runtime::BoxFuture;
use crate::{BoxError, Error, Response, transport};

/// The request to the server, the same for every attempt. Two sources with the same request may share a
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) url: Url,
    /// GET, or POST when there is a body, unless set.
    pub(crate) method: Option<Method>,
    /// Sorted by name, so that the order in which they were set makes no difference.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Bytes>,
    /// Only the first attempt has the body.
    pub(crate) body_once: bool,
    pub(crate) last_event_id: String,
}

/// One request on its way, redirected or not.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Option<Bytes>,
    redirects: u32,
}

/// Asks the caller for headers.
pub(crate) type HeadersFrom = Arc<dyn Fn() -> HeadersFuture + Send + Sync>;
/// The headers of one attempt, once they are there.
pub(crate) type HeadersFuture = BoxFuture<'static, Result<HeaderMap, BoxError>>;

/// As many redirects as the fetch standard follows (4.4, "HTTP-redirect fetch").
const MAX_REDIRECTS: u32 = 20;

/// Headers that no log may show.
const SENSITIVE_HEADERS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// Headers that a redirect to another origin keeps. Any other header may be a secret, whatever its name.
const CROSS_ORIGIN_HEADERS: [HeaderName; 9] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    LAST_EVENT_ID,
    PRAGMA,
    USER_AGENT,
];

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Request {
    pub(crate) fn new(url: Url) -> Self {
        Self {
            url,
            method: None,
            headers: Vec::new(),
            body: None,
            body_once: false,
            last_event_id: String::new(),
        }
    }

    /// The URL for messages.
    pub(crate) fn display_url(&self) -> String {
        redacted(&self.url)
    }

    pub(crate) fn method(&self) -> Method {
        match &self.method {
            Some(method) => method.clone(),
            None if self.body.is_some() => Method::POST,
            None => Method::GET,
        }
    }

    /// For `Debug`, which shows no value: any of them may be a secret.
    pub(crate) fn header_names(&self) -> Vec<&HeaderName> {
        self.headers.iter().map(|(name, _)| name).collect()
    }

    /// Whether sources that ask for this may share one response: it only reads, and is complete in its URL
    /// and headers.
    pub(crate) fn is_shareable(&self) -> bool {
        self.method() == Method::GET && self.body.is_none()
    }

    /// When it may be repeated.
    pub(crate) fn method_class(&self) -> MethodClass {
        MethodClass::of(self.method().as_str())
    }

    pub(crate) fn set_header(&mut self, name: HeaderName, mut value: HeaderValue) {
        value.set_sensitive(SENSITIVE_HEADERS.contains(&name));
        self.headers.retain(|(other, _)| *other != name);
        let at = self.headers.partition_point(|(other, _)| other.as_str() < name.as_str());
        self.headers.insert(at, (name, value));
    }

    /// The request for a new attempt; `fresh` are headers that were asked for anew.
    ///
    /// The error is not final: the attempt is made without a last event ID that no header can hold.
    pub(crate) fn attempt(
        &self,
        fresh: &HeaderMap,
        last_event_id: &str,
        first: bool,
    ) -> (Attempt, Option<Error>) {
        let mut headers = HeaderMap::from_iter(transport::defaults());
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        for name in fresh.keys() {
            headers.remove(name);
        }
        for (name, value) in fresh {
            headers.append(name, value.clone());
        }
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        let mut error = None;
        if !last_event_id.is_empty() {
            match HeaderValue::from_bytes(last_event_id.as_bytes()) {
                Ok(value) => drop(headers.insert(LAST_EVENT_ID, value)),
                Err(_) => error = Some(Error::LastEventId { id: last_event_id.to_owned() }),
            }
        }
        for name in SENSITIVE_HEADERS {
            if let Some(value) = headers.get_mut(name) {
                value.set_sensitive(true);
            }
        }
        let body = self.body.clone().filter(|_| first || !self.body_once);
        (Attempt { url: self.url.clone(), method: self.method(), headers, body, redirects: 0 }, error)
    }
}

impl Attempt {
    /// The request as a transport takes it.
    pub(crate) fn to_http(&self) -> Result<http::Request<Bytes>, Error> {
        let mut url = without_credentials(&self.url);
        url.set_fragment(None);
        let uri = Uri::try_from(url.as_str())
            .map_err(|error| Error::Url { url: self.display_url(), reason: error.to_string() })?;
        let mut request = http::Request::new(self.body.clone().unwrap_or_default());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(credentials) = basic_credentials(&self.url) {
            request.headers_mut().entry(AUTHORIZATION).or_insert(credentials);
        }
        if let Some(reason) = transport::refusal(&request) {
            return Err(Error::Header {
                part: format!("the method {}", self.method),
                reason: reason.to_owned(),
            });
        }
        Ok(request)
    }

    /// Whether a server has answered it already, by a redirect.
    pub(crate) fn is_redirected(&self) -> bool {
        self.redirects > 0
    }

    /// Where the answer redirects to, as the fetch standard follows it (4.4, "HTTP-redirect fetch"); but
    /// another origin gets neither the body nor the headers that were set for the first one.
    pub(crate) fn redirect(&self, response: &Response) -> Result<Self, Error> {
        let error =
            |reason: String| Error::Redirect { url: self.display_url(), status: response.status(), reason };
        let Some(location) = response.headers().get(LOCATION).filter(|location| !location.is_empty()) else {
            return Err(error("it has no header Location".to_owned()));
        };
        let text = String::from_utf8_lossy(location.as_bytes());
        let target = match self.url.join(&text) {
            Ok(target) if is_http(&target) => target,
            Ok(target) => {
                return Err(error(format!(
                    "it leads to the scheme {:?}, not to http or https",
                    target.scheme()
                )));
            }
            Err(reason) => {
                let text = redacted_text(&text);
                return Err(error(format!("its Location {text:?} is not a URL: {reason}")));
            }
        };
        if self.redirects == MAX_REDIRECTS {
            return Err(error(format!("the limit of {MAX_REDIRECTS} redirects is reached")));
        }

        let mut next = Self { url: target, redirects: self.redirects + 1, ..self.clone() };
        let status = response.status().as_u16();
        let posts = self.method == Method::POST;
        let gets = self.method == Method::GET || self.method == Method::HEAD;
        if (matches!(status, 301 | 302) && posts) || (status == 303 && !gets) {
            next.method = Method::GET;
            next.body = None;
            for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, CONTENT_LENGTH] {
                next.headers.remove(name);
            }
        }
        if !is_same_origin_or_upgrade(&self.url, &next.url) {
            if next.body.as_ref().is_some_and(|body| !body.is_empty()) {
                let to = next.display_url();
                return Err(error(format!(
                    "it leads to another origin, {to}, which the body may not be meant for: request that URL \
                     directly"
                )));
            }
            next.headers = CROSS_ORIGIN_HEADERS
                .into_iter()
                .filter_map(|name| Some((name.clone(), self.headers.get(name)?.clone())))
                .filter(|(name, _)| next.headers.contains_key(name))
                .collect();
        } else if next.url.origin() != self.url.origin() {
            next.headers.remove(HOST);
        }
        Ok(next)
    }

    /// The URL for messages.
    pub(crate) fn display_url(&self) -> String {
        redacted(&self.url)
    }

    /// The URL for programs: without user and password.
    pub(crate) fn url(&self) -> String {
        without_credentials(&self.url).into()
    }
}

/// Whether a secret for one URL may go to the other: the same origin, or the same host, upgraded to TLS.
fn is_same_origin_or_upgrade(from: &Url, to: &Url) -> bool {
    let is_upgrade = from.scheme() == "http"
        && to.scheme() == "https"
        && from.host_str() == to.host_str()
        && from.port().is_none()
        && to.port().is_none();
    from.origin() == to.origin() || is_upgrade
}

/// The user and password of a URL, as HTTP sends them (RFC 7617).
fn basic_credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut login: Vec<u8> = percent_decode_str(url.username()).collect();
    login.push(b':');
    login.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(login))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(crate) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}
