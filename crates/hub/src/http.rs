//! The hub over HTTP: who connects, and what they ask.
//!
//! ```text
//!  plain TCP ─▶ door ─┬─ GET of the hub, its head whole and all that was sent ─▶ fan-out (the socket is its own)
//!                     └─ all else ─▶ hyper ─▶ routes ─┬─ GET of the hub ─▶ a body that the fan-out writes to
//!  TLS, Unix ───────────────────────▶ hyper           └─ POST, the API, health, metrics, pages
//! ```

mod door;
mod places;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use self::door::Door;
pub use self::door::parse;
use self::places::{Place, Places};
use crate::hub::Hub;

/// A hub's HTTP server.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    router: Router,
    places: Places,
    head_size: usize,
    head_time: Duration,
    /// Connections that never asked for anything.
    silent: Counter,
    /// Connections for which there was no descriptor.
    exhausted: Counter,
    /// Connections that were told to come back.
    turned_away: Counter,
    last_exhausted: std::sync::Mutex<Option<Instant>>,
    end: watch::Sender<bool>,
}

/// Limits of connections, and what is served besides the hub.
#[derive(Debug)]
pub struct Options {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address; None for any.
    pub connections_per_address: Option<usize>,
    /// Bytes of a request's head.
    pub head_size: usize,
    /// The time until a head is there.
    pub head_time: Duration,
    /// The time until a body is there.
    pub body_time: Duration,
    /// Whether `/metrics` is served.
    pub metrics: bool,
    /// What else is served.
    pub pages: Option<Router>,
}

impl Server {
    /// A server for a hub. The registry is what it shows of itself.
    pub fn new(hub: Arc<Hub>, options: Options, mut registry: Registry) -> Arc<Self> {
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let silent = counter(&mut registry, "connections_silent", "Connections that never asked for anything");
        let exhausted = counter(&mut registry, "connections_exhausted", "Connections for which there was no descriptor");
        let turned_away = counter(&mut registry, "connections_turned_away", "Connections that were told to come back");
        let Options { connections, connections_per_address, head_size, head_time, body_time, metrics, pages } = options;
        let router = routes::router(Arc::clone(&hub), body_time, metrics.then(|| Arc::new(registry)), pages);
        Arc::new(Self {
            hub,
            router,
            places: Places::new(connections, connections_per_address),
            head_size,
            head_time,
            silent,
            exhausted,
            turned_away,
            last_exhausted: std::sync::Mutex::default(),
            end: watch::Sender::new(false),
        })
    }

    /// Serves plain HTTP on these, until what it gives is closed or dropped.
    ///
    /// # Errors
    /// When the system gives no thread or epoll.
    pub fn open(self: &Arc<Self>, listeners: Vec<std::net::TcpListener>) -> io::Result<Opened> {
        Door::open(listeners, Arc::clone(self)).map(Opened)
    }

    /// A place for a connection that is not accepted by [`open`](Self::open); None when it must be turned away.
    pub(crate) fn admit(&self, peer: Option<std::net::IpAddr>) -> Option<Place> {
        self.places.take(peer)
    }

    /// Serves one connection until it ends: HTTP/1.1 or HTTP/2.
    pub(crate) async fn serve<S>(&self, socket: S, peer: Option<SocketAddr>, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone().layer(axum::Extension(ConnectInfo(peer)));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_time)
            // Without `pipeline_flush`: with it, hyper takes all that a body has, however much waits to be written.
            .max_buf_size(self.head_size.max(8192));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(self.head_size as u32)
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
        let mut connection = std::pin::pin!(connection);
        let mut end = self.end.subscribe();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async { drop(end.wait_for(|end| *end).await) } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
        drop(place);
    }

    async fn serve_plain(&self, socket: std::net::TcpStream, peer: SocketAddr, place: Place) {
        match tokio::net::TcpStream::from_std(socket) {
            Ok(socket) => self.serve(socket, Some(peer), place).await,
            Err(error) => tracing::warn!(%error, "a connection cannot be served: it is closed"),
        }
    }

    /// Lets connections end that are not streams, and waits so long for them.
    pub async fn end(&self, grace: Duration) {
        self.end.send_replace(true);
        let gone = async {
            while self.places.taken() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(grace, gone).await.is_err() {
            tracing::warn!(left = self.places.taken(), "connections are cut that did not end in time");
        }
    }

    /// The answer to who cannot be served now: a stream that says when to return, since browsers give up on a refusal.
    fn busy(&self) -> String {
        self.turned_away.inc();
        let retry = self.hub.retry().as_millis();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nconnection: close\r\n\r\nretry: {retry}\n\n"
        )
    }

    /// Out of descriptors: says so, once a second at most.
    fn exhausted(&self, error: &io::Error) {
        self.exhausted.inc();
        let mut last = self.last_exhausted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if last.is_none_or(|last| now.duration_since(last) >= Duration::from_secs(1)) {
            *last = Some(now);
            tracing::error!(
                %error,
                "there is no file descriptor for another connection: raise the limit (`ulimit -n`, LimitNOFILE= of systemd) or lower limits.connections"
            );
        }
    }
}

/// Accepts plain HTTP until it is closed or dropped.
#[derive(Debug)]
pub struct Opened(Door);

impl Opened {
    /// Accepts nobody any more; who is connected stays.
    pub fn close(mut self) {
        self.0.close();
    }
}

/// Requests at once on one connection of HTTP/2.
const STREAMS: u32 = 256;
