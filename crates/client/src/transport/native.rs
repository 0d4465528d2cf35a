use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::runtime::{self, Handle};

use super::proxy::Connector;
use super::{Body, Sending, Transport};
use crate::TransportError;
use crate::panics::lock;

/// HTTP/1.1 and HTTP/2 over TCP and TLS; the default transport of every source.
///
/// TLS trusts the roots of the operating system (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them) and those
/// [added here](Self::root_certificate). Proxies come from the environment (`HTTP_PROXY`, `HTTPS_PROXY`,
/// `ALL_PROXY`, `NO_PROXY`). TCP keep-alive finds a dead peer within about a minute, on a quiet stream too.
///
/// Cheap to clone; clones share their connections, so that many sources of one HTTP/2 server use a single
/// one.
///
/// ```no_run
/// use ssekit::client::Http;
/// use ssekit::source;
///
/// let http = Http::new().root_certificate(&std::fs::read("ca.pem")?)?;
/// let connection = source("https://internal.example/events").transport(http);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Http {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    roots: Vec<CertificateDer<'static>>,
    http2_prior_knowledge: bool,
    /// A client's connections live on the runtime that made them, so each runtime has its own.
    clients: Mutex<Vec<(runtime::Id, Client)>>,
}

#[derive(Clone, Debug)]
struct Client {
    http: legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
    connector: Connector,
}

/// How far [`Http`] has come with a request; in the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<OnceLock<Option<CaptureConnection>>>);

impl Progress {
    /// No byte has left, because there is no connection for it yet. Not so where nothing is known.
    pub(crate) fn is_unsent(&self) -> bool {
        match self.0.get() {
            Some(Some(connection)) => connection.connection_metadata().is_none(),
            Some(None) => true,
            None => false,
        }
    }

    /// The transport has said so itself.
    pub(crate) fn set_unsent(&self) {
        let _ = self.0.set(None);
    }

    fn watch(&self, request: &mut http::Request<Bytes>) {
        let _ = self.0.set(Some(capture_connection(request)));
    }
}

const PRODUCT: &str = concat!("ssekit/", env!("CARGO_PKG_VERSION"));

/// Runtimes come and go in tests; more than a few at once are rare.
const MAX_CLIENTS: usize = 8;

/// The transport of all sources without one of their own.
pub(crate) fn shared() -> Arc<dyn Transport> {
    static SHARED: LazyLock<Arc<Http>> = LazyLock::new(Arc::default);
    SHARED.clone()
}

/// The default headers of every attempt.
pub(crate) fn defaults() -> impl IntoIterator<Item = (HeaderName, HeaderValue)> {
    [
        (ACCEPT, HeaderValue::from_static("text/event-stream")),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]
}

/// Why such a request can never be sent.
pub(crate) fn refusal(_: &http::Request<Bytes>) -> Option<&'static str> {
    None
}

impl Http {
    /// With the defaults above.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificate authorities too, which are given as PEM.
    ///
    /// # Errors
    /// When the text is no PEM or holds no certificate.
    pub fn root_certificate(self, pem: &[u8]) -> Result<Self, TransportError> {
        let added: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(TransportError::caused_by)?;
        if added.is_empty() {
            return Err(TransportError::new("the PEM text contains no certificate"));
        }
        let roots = self.inner.roots.iter().cloned().chain(added).collect();
        Ok(Self::from(Inner { roots, ..self.inner.options() }))
    }

    /// Speaks HTTP/2 at once on connections without TLS. By default such connections speak HTTP/1.1, and TLS
    /// connections the protocol that the server prefers.
    #[must_use]
    pub fn http2_prior_knowledge(self) -> Self {
        Self::from(Inner { http2_prior_knowledge: true, ..self.inner.options() })
    }
}

impl From<Inner> for Http {
    fn from(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

impl Transport for Http {
    fn send(&self, mut request: http::Request<Bytes>) -> Sending {
        let client = self.inner.client();
        Box::pin(async move {
            let Client { http, connector } = client.map_err(TransportError::nothing_sent)?;
            if let Some(progress) = request.extensions().get::<Progress>().cloned() {
                progress.watch(&mut request);
            }
            let headers = request.headers_mut();
            headers.entry(USER_AGENT).or_insert(const { HeaderValue::from_static(PRODUCT) });
            if let Some(login) = connector.proxy_authorization(request.uri()) {
                request.headers_mut().entry(PROXY_AUTHORIZATION).or_insert(login);
            }
            let proxy = connector.proxy_name(request.uri());
            let by_proxy = move |error: TransportError| match &proxy {
                Some(proxy) => error.context(format_args!("through the proxy {proxy}")),
                None => error,
            };
            let answer =
                http.request(request.map(Full::new)).await.map_err(|error| by_proxy(request_error(error)))?;
            let (head, body) = answer.into_parts();
            let pieces = body.into_data_stream().map_err(move |error| by_proxy(body_error(error)));
            Ok(http::Response::from_parts(head, Box::pin(pieces) as Body))
        })
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }
}

/// Why no head of a response came.
fn request_error(error: legacy::Error) -> TransportError {
    let is_closed = causes(&error).any(is_incomplete);
    let is_untrusted = causes(&error).any(is_certificate);
    let is_unconnected = error.is_connect();
    let transport_error = TransportError::caused_by(error);
    let transport_error = if is_closed {
        transport_error.reworded("the server closed the connection without a response")
    } else {
        transport_error
    };
    if is_untrusted {
        transport_error.certificate()
    } else if is_unconnected {
        transport_error.nothing_sent()
    } else {
        transport_error
    }
}

/// Why no more of a body comes.
fn body_error(error: hyper::Error) -> TransportError {
    let is_incomplete = causes(&error).any(is_incomplete);
    let transport_error = TransportError::caused_by(error);
    if is_incomplete { transport_error.reworded("the server cut the stream") } else { transport_error }
}

/// The error, its cause, and so on.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        // An I/O error that holds another one returns only the cause of that.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// A message ended before it was complete.
fn is_incomplete(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

fn is_certificate(error: &(dyn StdError + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

impl Inner {
    /// The same settings, with connections of its own.
    fn options(&self) -> Self {
        Self {
            roots: self.roots.clone(),
            http2_prior_knowledge: self.http2_prior_knowledge,
            clients: Mutex::default(),
        }
    }

    fn client(&self) -> Result<Client, TransportError> {
        let runtime = Handle::current().id();
        let mut clients = lock(&self.clients);
        if let Some((_, client)) = clients.iter().find(|(owner, _)| *owner == runtime) {
            return Ok(client.clone());
        }
        let tls = self.tls()?;
        let connector = Connector::new(tls.clone());
        let secured = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector.clone());
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(self.http2_prior_knowledge)
            .build(secured);
        let client = Client { http, connector };
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((runtime, client.clone()));
        Ok(client)
    }

    /// Uses the cryptography that the program has installed for rustls, else ring.
    fn tls(&self) -> Result<ClientConfig, TransportError> {
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TransportError::caused_by)?;
        Ok(match Verifier::new_with_extra_roots(self.roots.clone(), provider) {
            Ok(verifier) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            Err(error) if self.roots.is_empty() => {
                // A machine without root certificates can still speak plain HTTP; HTTPS will trust nobody.
                tracing::debug!(%error, "cannot load root certificates");
                builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
            }
            Err(error) => return Err(TransportError::caused_by(error)),
        })
    }
}
