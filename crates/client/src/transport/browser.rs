use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, Request, RequestCache, RequestCredentials,
    RequestInit, RequestMode, Response, ResponseType,
};

use super::{Body, FinalUrl, Sending, Transport};
use crate::TransportError;
use crate::runtime::{call, property};

/// `fetch`, as the page or the worker has it; the default transport of every source.
///
/// The browser decides about headers and errors: it keeps some headers to itself (`Accept-Encoding`,
/// `Cookie`, `Host`), asks other origins whether they allow a header (CORS), follows redirects, undoes
/// compression, and does not say why it could not connect. Nothing is taken from its cache or kept in it.
///
/// ```no_run
/// use ssekit::client::{Credentials, Http};
/// use ssekit::source;
///
/// let http = Http::new().credentials(Credentials::Include);
/// let connection = source("https://api.example/events").transport(http);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Http {
    settings: Arc<Settings>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    credentials: Credentials,
    mode: Mode,
}

/// Whether cookies and HTTP logins are sent and stored ("credentials mode" of the fetch standard).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// Never.
    Omit,
    /// To the page's own origin.
    #[default]
    SameOrigin,
    /// To every origin, whose answer must allow it.
    Include,
}

/// The origins that may be requested ("mode" of the fetch standard). There is no `no-cors`: its answers
/// cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Any, if its answer allows it.
    #[default]
    Cors,
    /// The page's own; requests to others fail.
    SameOrigin,
}

/// The transport of all sources without one of their own.
pub(crate) fn shared() -> Arc<dyn Transport> {
    static SHARED: LazyLock<Arc<Http>> = LazyLock::new(Arc::default);
    SHARED.clone()
}

/// The default headers of every attempt. (The browser says by itself that no cache is to answer, and other
/// origins need not allow that.)
pub(crate) fn defaults() -> impl IntoIterator<Item = (HeaderName, HeaderValue)> {
    [(ACCEPT, HeaderValue::from_static("text/event-stream"))]
}

/// Why such a request can never be sent (fetch standard, "new Request").
pub(crate) fn refusal(request: &http::Request<Bytes>) -> Option<&'static str> {
    match *request.method() {
        Method::CONNECT | Method::TRACE => Some("browsers do not allow it"),
        Method::GET | Method::HEAD if !request.body().is_empty() => {
            Some("browsers do not send a body with it")
        }
        _ => None,
    }
}

/// How far a request has come. `fetch` says the same of a connection that was refused and of one that broke
/// off later, so only a transport that says so itself has sent nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(crate) fn is_unsent(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unsent(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Http {
    /// Within the page's own origin with its cookies, to other origins without.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether cookies and HTTP logins are sent. To the page's own origin by default.
    #[must_use]
    pub fn credentials(self, credentials: Credentials) -> Self {
        Self::from(Settings { credentials, ..*self.settings })
    }

    /// Sets the origins that may be requested. Any by default.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self::from(Settings { mode, ..*self.settings })
    }
}

impl From<Settings> for Http {
    fn from(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }
}

impl Transport for Http {
    fn send(&self, request: http::Request<Bytes>) -> Sending {
        let settings = *self.settings;
        Box::pin(async move {
            let abort = AbortOnDrop(
                AbortController::new().map_err(|error| exception_error("AbortController", &error))?,
            );
            let request =
                settings.request(&request, &abort).map_err(|error| exception_error("new Request", &error))?;
            let answer = fetch(&request).await.map_err(|error| {
                let text = exception_error("fetch", &error);
                TransportError::new(format!("{text} (the browser's console may say why)"))
            })?;
            response(&answer, abort)
        })
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.settings).addr()
    }
}

impl Settings {
    fn request(&self, request: &http::Request<Bytes>, abort: &AbortOnDrop) -> Result<Request, JsValue> {
        let headers = Headers::new()?;
        for (name, value) in request.headers() {
            // Each character is a byte there.
            let value: String = value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
            headers.append(name.as_str(), &value)?;
        }
        let init = RequestInit::new();
        init.set_method(request.method().as_str());
        init.set_headers(&headers);
        if !request.body().is_empty() {
            init.set_body(&Uint8Array::from(&**request.body()));
        }
        init.set_cache(RequestCache::NoStore);
        init.set_credentials(match self.credentials {
            Credentials::Omit => RequestCredentials::Omit,
            Credentials::SameOrigin => RequestCredentials::SameOrigin,
            Credentials::Include => RequestCredentials::Include,
        });
        init.set_mode(match self.mode {
            Mode::Cors => RequestMode::Cors,
            Mode::SameOrigin => RequestMode::SameOrigin,
        });
        init.set_signal(Some(&abort.0.signal()));
        Request::new_with_str_and_init(&request.uri().to_string(), &init)
    }
}

async fn fetch(request: &Request) -> Result<Response, JsValue> {
    let promise: Promise = call("fetch", &[request])?.dyn_into()?;
    JsFuture::from(promise).await?.dyn_into()
}

/// The head of the answer, and its body to come.
fn response(answer: &Response, abort: AbortOnDrop) -> Result<http::Response<Body>, TransportError> {
    if answer.type_() == ResponseType::Opaque {
        return Err(TransportError::new("the response cannot be read, because it came in mode no-cors"));
    }
    let mut response = http::Response::new(body(answer, abort)?);
    *response.status_mut() = StatusCode::from_u16(answer.status())
        .map_err(|_| TransportError::new(format!("the response has the status {}", answer.status())))?;
    *response.headers_mut() = headers(answer);
    // A service worker's answer has no URL.
    let url = answer.url();
    if !url.is_empty() {
        response.extensions_mut().insert(FinalUrl(url));
    }
    Ok(response)
}

/// The headers that the page may see, without those of the compressed body: it was decompressed.
fn headers(answer: &Response) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for entry in answer.headers().entries().into_iter().flatten() {
        let entry: Array = entry.unchecked_into();
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else {
            continue;
        };
        let value: Vec<u8> = value.chars().map(|byte| byte as u8).collect();
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
            headers.append(name, value);
        }
    }
    if headers.remove(CONTENT_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    headers
}

fn body(answer: &Response, abort: AbortOnDrop) -> Result<Body, TransportError> {
    let Some(body) = answer.body() else { return Ok(Box::pin(stream::empty())) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let pieces = stream::unfold((reader, abort), |(reader, abort)| async {
        let piece = read(&reader).await.map_err(|error| exception_error("reading", &error)).transpose()?;
        Some((piece, (reader, abort)))
    });
    // A body that has failed is over.
    let pieces = pieces.scan(false, |failed, piece| {
        let over = std::mem::replace(failed, piece.is_err());
        async move { (!over).then_some(piece) }
    });
    Ok(Box::pin(pieces))
}

/// The next piece of the body, `None` at its end.
async fn read(reader: &ReadableStreamDefaultReader) -> Result<Option<Bytes>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    if property(&result, "done").is_some_and(|done| done.is_truthy()) {
        return Ok(None);
    }
    let piece: Uint8Array = property(&result, "value").unwrap_or_default().dyn_into()?;
    Ok(Some(Bytes::from(piece.to_vec())))
}

/// Aborts the request, and its body with it, when it is dropped.
struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An exception in one line: the failed action, and the browser's text.
fn exception_error(action: &str, error: &JsValue) -> TransportError {
    let text = property(error, "message").and_then(|message| message.as_string());
    let text = text.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"));
    TransportError::new(format!("{action}: {text}"))
}
