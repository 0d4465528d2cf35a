//! The hub over HTTP: routes for another program, and a server with connections of its own.
//!
//! ```text
//!  plain TCP ─▶ acceptor ─┬─ GET of the hub, whole and alone ─▶ fan-out, which owns the socket
//!                         ├─ POST of the hub ─▶ publish pipeline: all requests that have arrived
//!                         └─ all others ─▶ hyper ─▶ routes ─┬─ GET of the hub ─▶ a body, from the fan-out
//!  TLS, Unix ───────────────────────────▶ hyper             └─ POST, the API, health, metrics, pages
//! ```

mod acceptor;
mod activity;
mod bodies;
mod connection_limit;
mod control_frames;
mod exposition;
mod head;
mod http1;
mod lingering_close;
mod metrics;
mod own_host;
mod publish_pipeline;
mod rate_limit;
mod rejections;
mod routes;
mod strict;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::acceptor::Acceptor;
use self::activity::{Activity, Answering, Verdict};
use self::bodies::Bodies;
pub use self::connection_limit::Lease;
pub(crate) use self::connection_limit::network;
use self::connection_limit::{ConnectionLimit, Permit};
pub use self::http1::parse;
use self::lingering_close::Lingering;
use self::metrics::MetricsPage;
use self::rate_limit::TokenBucket;
use self::rejections::{RejectReason, Rejections};
pub use self::routes::refusal;
use ssekit_mercure::{Problem, ProblemKind, cors};

use crate::hub::Hub;

/// HTTP server of a hub.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    router: Router,
    connection_limit: ConnectionLimit,
    head_size: usize,
    head_time: Duration,
    body_time: Duration,
    bodies: Arc<Bodies>,
    /// Limit of new subscribers per second.
    rate: Option<Arc<TokenBucket>>,
    rejections: Arc<Rejections>,
    end: watch::Sender<bool>,
}

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// Protocol of a connection that begins with these bytes (RFC 9113, section 3.4).
    fn of(first: &[u8]) -> Self {
        if first.starts_with(b"PRI * HTTP/2.0") { Self::Http2 } else { Self::Http1 }
    }

    /// The protocol that a TLS handshake agreed on (ALPN, RFC 7301).
    pub fn agreed(name: Option<&[u8]>) -> Self {
        if name == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }
}

/// Limits of connections, and the resources besides the hub.
#[derive(Debug)]
pub struct Options {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections of one address, or of one IPv6 network.
    ///
    /// `None` allows a public address a tenth of all connections.
    pub connections_per_address: Option<usize>,
    /// Maximum number of new subscribers per second; `None` for no limit.
    pub connects_per_second: Option<u32>,
    /// Maximum size of a request head in bytes.
    pub head_size: usize,
    /// Maximum time until a head is complete.
    pub head_time: Duration,
    /// Maximum time until a body is complete.
    pub body_time: Duration,
    /// Memory for the bodies of all requests together, in bytes.
    pub body_memory: usize,
    /// Whether the server answers `/metrics`.
    pub metrics: bool,
    /// Pages besides the hub.
    pub pages: Option<Pages>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: None,
            connects_per_second: None,
            head_size: 16 << 10,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            body_memory: 64 << 20,
            metrics: false,
            pages: None,
        }
    }
}

/// Returns the routes of a hub, for a program with an HTTP server of its own.
///
/// They are publications and subscriptions at [`Hub::path`], and the subscription API below it.
///
/// The program's server limits connections and the size of heads. Of the options, `connects_per_second`,
/// `body_time` and `body_memory` apply. The registry gets the metrics of the hub.
///
/// If the program serves the routes with [`ConnectInfo`](axum::extract::ConnectInfo), the replays of one
/// client address share their turns.
///
/// `examples/embedded_hub.rs` is a whole program:
///
/// ```
/// use std::sync::Arc;
/// use ssekit_hub::{http, hub};
///
/// # async fn routes(log: Arc<dyn ssekit_log::Log>, app: axum::Router) -> std::io::Result<axum::Router> {
/// let mut registry = prometheus_client::registry::Registry::default();
/// let hub = hub::Hub::start(log, hub::Options::default(), &mut registry).await?;
/// let app = app.merge(http::router(Arc::clone(&hub), &http::Options::default(), &mut registry));
/// # Ok(app)
/// # }
/// ```
pub fn router(hub: Arc<Hub>, options: &Options, registry: &mut Registry) -> Router {
    let rate =
        options.connects_per_second.map(|per_second| Arc::new(TokenBucket::new(per_second, Instant::now())));
    routes::of_hub(routes::Context {
        hub,
        head_size: options.head_size,
        body_time: options.body_time,
        bodies: Bodies::new(options.body_memory),
        rate,
        rejections: Arc::new(Rejections::new(registry)),
    })
}

/// Pages that a server has besides the hub.
#[derive(Debug, Default)]
pub struct Pages {
    /// Routes of the pages, without a fallback.
    pub router: Router,
    /// Paths of pages that the answer 404 lists.
    pub at: Vec<&'static str>,
    /// Names of this machine that `Host` may have for these pages; `None` for any name.
    ///
    /// `localhost` and IP addresses need no entry.
    pub names: Option<Arc<[String]>>,
}

impl Server {
    /// Makes a server for a hub. `/metrics` shows the registry.
    pub fn new(hub: Arc<Hub>, options: Options, mut registry: Registry) -> Arc<Self> {
        let rejections = Arc::new(Rejections::new(&mut registry));
        let Options {
            connections,
            connections_per_address,
            head_size,
            head_time,
            body_time,
            body_memory,
            metrics,
            pages,
            ..
        } = options;
        let rate = options
            .connects_per_second
            .map(|per_second| Arc::new(TokenBucket::new(per_second, Instant::now())));
        let bodies = Bodies::new(body_memory);
        let context = routes::Context {
            hub: Arc::clone(&hub),
            head_size,
            body_time,
            bodies: Arc::clone(&bodies),
            rate: rate.clone(),
            rejections: Arc::clone(&rejections),
        };
        let router = routes::router(context, metrics.then(|| MetricsPage::new(registry)), pages);
        Arc::new(Self {
            hub,
            router,
            connection_limit: ConnectionLimit::new(connections, connections_per_address),
            head_size,
            head_time,
            body_time,
            bodies,
            rate,
            rejections,
            end: watch::Sender::new(false),
        })
    }

    /// Serves plain HTTP on these listeners, until the result is closed or dropped.
    ///
    /// # Errors
    /// When the system provides no thread or epoll.
    pub fn open(self: &Arc<Self>, listeners: Vec<std::net::TcpListener>) -> io::Result<Opened> {
        Acceptor::open(listeners, Arc::clone(self)).map(Opened)
    }

    /// Takes a permit for a connection that is not accepted by [`open`](Self::open).
    ///
    /// `None` if a limit is reached.
    pub(crate) fn admit(&self, peer: Option<std::net::IpAddr>) -> Option<Permit> {
        let permit = self.connection_limit.take(peer);
        permit.inspect_err(|taken| self.rejections.turned_away(taken.limit, taken.most as u64)).ok()
    }

    /// Admits a connection that its caller has accepted, from TLS or a Unix socket.
    ///
    /// The connection counts as idle: when the connection limit is reached, the connection that has been idle
    /// for the longest time is closed ([`Lease::evicted`]). `None` if the limit leaves no room; the caller
    /// then closes the connection.
    pub fn lease(&self, peer: Option<std::net::IpAddr>) -> Option<Lease> {
        let lease = Lease::new(self.admit(peer)?);
        lease.set_idle();
        Some(lease)
    }

    /// Counts a connection that was closed for another.
    pub fn evicted(&self) {
        self.rejections.connection(RejectReason::Evicted);
    }

    /// Serves one connection until it ends. Dropping the future closes the connection.
    pub async fn serve<S>(&self, socket: S, protocol: Protocol, lease: Lease)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new(lease, Instant::now());
        let service = {
            let (activity, service) = (Arc::clone(&activity), TowerToHyperService::new(self.router.clone()));
            service_fn(move |mut request: http::Request<Incoming>| {
                let open = activity.open();
                request.extensions_mut().insert(Arc::clone(&open));
                let answer = service.call(request.map(Body::new));
                async move {
                    let answer: Result<_, Infallible> = answer.await;
                    answer.map(|answer| answer.map(|body| Answering { body, _open: open }))
                }
            })
        };
        let socket = Lingering::new(socket);
        let ended = match protocol {
            Protocol::Http1 => {
                let connection = conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(self.head_time)
                    // Limits an incomplete head; `max_header_size` applies to trailers.
                    .max_buf_size(head::readable(self.head_size))
                    // `pipeline_flush` would lose an answer after which the connection ends with unread input
                    // (400, 413, 431).
                    .serve_connection(TokioIo::new(socket), service);
                self.watch(connection, &activity).await
            }
            Protocol::Http2 => {
                let socket = control_frames::Limited::new(socket, Arc::clone(&activity));
                let connection = conn::http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_header_list_size(u32::try_from(head::readable(self.head_size)).unwrap_or(u32::MAX))
                    .max_concurrent_streams(STREAMS)
                    .max_send_buf_size(SENDING)
                    // Also limits unread bodies, for example while the publisher is being verified.
                    .initial_stream_window_size(WINDOW)
                    .initial_connection_window_size(WINDOW)
                    .keep_alive_interval(Some(Duration::from_secs(20)))
                    .keep_alive_timeout(Duration::from_secs(20))
                    .serve_connection(TokioIo::new(socket), service);
                self.watch(connection, &activity).await
            }
        };
        match ended {
            Ok(()) => {}
            Err(Broken::Unasked) => self.rejections.connection(RejectReason::Slow),
            Err(Broken::Flooded) => self.rejections.connection(RejectReason::Flooded),
            Err(Broken::Evicted) => self.rejections.connection(RejectReason::Evicted),
            Err(Broken::Abandoned) => {
                tracing::debug!("closing a connection: its peer does not read the end of a stream")
            }
            Err(Broken::Connection(error)) => {
                tracing::debug!(%error, "a connection failed");
                // A connection with an earlier request is only idle.
                let refused = RejectReason::of(&error)
                    .filter(|refused| *refused != RejectReason::Slow || !activity.was_asked());
                if let Some(refused) = refused {
                    self.rejections.connection(refused);
                }
            }
        }
    }

    /// Drives a connection to its end.
    ///
    /// It ends by itself, with the server, or when it is idle for too long; the last two happen after its
    /// open requests. It fails without a request in time, or if its peer keeps a stream that has ended.
    async fn watch<C>(&self, connection: C, activity: &Activity) -> Result<(), Broken>
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut connection = std::pin::pin!(connection);
        let mut end = self.end.subscribe();
        let mut end = std::pin::pin!(end.wait_for(|end| *end));
        loop {
            let look = match activity.verdict(self.head_time, Instant::now()) {
                Verdict::Fine(look) => look,
                Verdict::Unasked => return Err(Broken::Unasked),
                Verdict::Abandoned => return Err(Broken::Abandoned),
                Verdict::Flooded => return Err(Broken::Flooded),
                Verdict::Idle => {
                    connection.as_mut().graceful_shutdown();
                    // A peer that does not answer was waited for long enough.
                    let ended = tokio::time::timeout(FAREWELL, connection).await;
                    return ended.unwrap_or(Ok(())).map_err(Broken::Connection);
                }
            };
            let due = async {
                match look {
                    Some(look) => tokio::time::sleep_until(look.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = activity.changed() => {}
                () = activity.evicted() => return Err(Broken::Evicted),
                ended = connection.as_mut() => return ended.map_err(Broken::Connection),
                () = due => {}
                _ = &mut end => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        connection.await.map_err(Broken::Connection)
    }

    /// Waits until the server ends.
    async fn until_end(&self) {
        drop(self.end.subscribe().wait_for(|end| *end).await);
    }

    /// Ends connections that are not streams, and waits for them during this time.
    pub async fn end(&self, grace: Duration) {
        self.end.send_replace(true);
        let gone = async {
            while self.connection_limit.taken() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(grace, gone).await.is_err() {
            tracing::warn!(
                connections = self.connection_limit.taken(),
                "shutdown: closing connections that did not end in time"
            );
        }
    }

    /// Returns the answer to a client beyond a limit.
    ///
    /// A request of a stream gets `retry:` and the end, because browsers give up on an error; all others get
    /// 503.
    ///
    /// Another client would take an empty stream for its answer.
    fn busy(&self, head: &[u8]) -> Vec<u8> {
        let retry = self.hub.retry();
        let mut answer = if asks_for_a_stream(head, &self.hub.path) {
            routes::retry_later(retry)
        } else {
            let words = "the hub has reached its connection limit: try again in a moment";
            Problem::new(ProblemKind::Unavailable, words).retry_after(retry).response()
        };
        if let Some((_, request)) = http1::first_request(head) {
            // Without CORS headers, a page of another origin could not read the answer, and would give up.
            cors::allow_reading(&request, &self.hub.access.cors_origins, answer.headers_mut());
        }
        http1::last(answer)
    }

    /// Logs an error of `accept`, and waits for 10 ms if the process has no file descriptor left.
    pub async fn not_accepted(&self, error: &io::Error) {
        if acceptor::is_exhausted(error) {
            self.rejections.exhausted(error);
            // An immediate retry would only keep the processor busy.
            tokio::time::sleep(Duration::from_millis(10)).await;
        } else {
            tracing::debug!(%error, "cannot accept a connection");
        }
    }
}

/// Reason why a connection was closed or failed.
#[derive(Debug)]
enum Broken {
    /// It sent no request in time.
    Unasked,
    /// Its peer keeps a stream that has ended.
    Abandoned,
    /// It was idle, and another connection needed its permit.
    Evicted,
    /// It sent too many HTTP/2 frames without a request.
    Flooded,
    Connection(hyper::Error),
}

/// Whether a request head, which may be incomplete, asks for a stream.
fn asks_for_a_stream(head: &[u8], path: &str) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let Some(target) = line.strip_prefix(b"GET ") else { return false };
    let is_hub =
        target.strip_prefix(path.as_bytes()).is_some_and(|rest| matches!(rest.first(), Some(b'?' | b' ')));
    let accepts = ssekit_wire::media_type::EVENT_STREAM.as_bytes();
    is_hub || head.windows(accepts.len()).any(|part| part.eq_ignore_ascii_case(accepts))
}

/// Accepts plain HTTP until it is closed or dropped.
#[derive(Debug)]
pub struct Opened(Acceptor);

impl Opened {
    /// Accepts no further connections; open ones stay.
    pub fn close(mut self) {
        self.0.close();
    }
}

/// Concurrent requests of one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Bytes of a stream's body that HTTP/2 may hold until they are sent; one piece may exceed it.
const SENDING: usize = 16 << 10;
/// Bytes of request bodies that an HTTP/2 connection may send before the hub reads them.
const WINDOW: u32 = 64 << 10;
/// Maximum time for the end of an idle connection.
const FAREWELL: Duration = Duration::from_secs(1);
