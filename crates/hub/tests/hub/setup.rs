//! Hubs for tests: options, keys, and a server in this process.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use ssekit_hub::fanout::{self, Overtaken, Pace};
use ssekit_hub::http::{self, Opened, Server};
use ssekit_hub::hub::{self, Announced, Hub};
use ssekit_hub::jwks::KeyRenewals;
use ssekit_log::{Keep, Limit, Log, MemoryLog, Position, Retention};
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use ssekit_mercure::{Access, Ids, Keys};

use crate::client::{Answer, Connection, Request};

/// Path of the hub.
pub(crate) const HUB: &str = "/.well-known/mercure";

const SECRET: &str = "a secret that is long enough: 32 bytes at least";

/// Options of a hub.
///
/// By default, everyone may subscribe, publishers need tokens, no heartbeats are sent, and everything is
/// kept.
pub(crate) struct Setup {
    pub(crate) access: Access,
    pub(crate) key_renewals: KeyRenewals,
    pub(crate) subscriptions: bool,
    /// Whether subscribers without a token are announced as well.
    pub(crate) announces_anonymous: bool,
    pub(crate) fanout: fanout::Options,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) server: http::Options,
    pub(crate) keep: Keep,
    /// Size of the send buffer of the hub's sockets, in bytes.
    pub(crate) send_buffer: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        let access = Access { publishers: keys(), subscribers: keys(), anonymous: true, ..Access::default() };
        let pace = Pace {
            heartbeat: Duration::from_secs(3600),
            stall: Duration::from_secs(3600),
            retry: (Duration::from_millis(1000), Duration::from_millis(2000)),
            overtaken: Overtaken::Close,
        };
        Self {
            access,
            key_renewals: KeyRenewals::default(),
            subscriptions: false,
            announces_anonymous: true,
            fanout: fanout::Options {
                threads: 2,
                window: 4 << 20,
                pending_memory: 4 << 20,
                pending: 64 << 10,
                pace,
            },
            max_lifetime: None,
            server: http::Options {
                connections: 1000,
                connections_per_address: None,
                connects_per_second: None,
                head_size: 16 << 10,
                head_time: Duration::from_secs(30),
                body_time: Duration::from_secs(30),
                body_memory: 64 << 20,
                metrics: true,
                pages: None,
            },
            keep: Keep::ALL,
            send_buffer: None,
        }
    }
}

/// A hub with a listener.
pub(crate) struct TestHub {
    pub(crate) addr: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    pub(crate) log: Arc<dyn Log>,
    /// Access rules, with the hub's own keys.
    pub(crate) access: Access,
    server: Arc<Server>,
    opened: Option<Opened>,
}

impl TestHub {
    /// Starts a hub with the default options.
    pub(crate) async fn usual() -> Self {
        Self::start(|_| {}).await
    }

    /// Starts a hub on a log in memory.
    pub(crate) async fn start(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let retention = Retention::of_everything(setup.keep).unwrap();
        Self::over(Arc::new(MemoryLog::new(retention).unwrap()), setup).await
    }

    /// Starts a hub on a log.
    pub(crate) async fn over(log: Arc<dyn Log>, setup: Setup) -> Self {
        let Setup {
            access,
            key_renewals,
            subscriptions,
            announces_anonymous,
            fanout,
            max_lifetime,
            server,
            keep: _,
            send_buffer,
        } = setup;
        let limits = access.limits;
        let own = access.clone();
        let subscriptions = match (subscriptions, announces_anonymous) {
            (false, _) => Announced::Nobody,
            (true, false) => Announced::WithToken,
            (true, true) => Announced::Everyone,
        };
        let options = hub::Options {
            access,
            key_renewals,
            limits,
            path: HUB.to_owned(),
            subscriptions,
            fanout,
            max_lifetime,
        };
        let mut registry = Registry::with_prefix("ssekit");
        let hub = Hub::start(Arc::clone(&log), options, &mut registry).await.unwrap();
        let server = Server::new(Arc::clone(&hub), server, registry);
        let listener = listener(send_buffer);
        let addr = listener.local_addr().unwrap();
        let opened = Some(server.open(vec![listener]).unwrap());
        Self { addr, hub, log, access: own, server, opened }
    }

    /// Ends as the program does.
    pub(crate) async fn end(&mut self, over: Duration) {
        let opened = self.opened.take();
        tokio::task::spawn_blocking(|| opened.map(Opened::close)).await.unwrap();
        self.hub.end(over).await;
        self.server.end(Duration::from_millis(500)).await;
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn ask(&self, request: &Request) -> Answer {
        Connection::open(self.addr).await.ask(request).await
    }

    /// Publishes a form with a token for all topics; returns the id.
    pub(crate) async fn publish(&self, form: &str) -> String {
        let answer = self.ask(&publication(form)).await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    }

    /// Value of the metric with this name and these labels.
    pub(crate) async fn figure(&self, name: &str) -> u64 {
        self.figure_in(&mut String::new(), name).await
    }

    async fn figure_in(&self, text: &mut String, name: &str) -> u64 {
        *text = self.ask(&Request::get("/metrics")).await.body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until_figure(&self, name: &str, value: u64) {
        let mut text = String::new();
        let patience =
            tokio::time::timeout(PATIENCE, async { while self.figure_in(&mut text, name).await != value {} });
        assert!(patience.await.is_ok(), "not within {PATIENCE:?}: {name} {value} in {text}");
    }

    /// Ids and positions of all records in the log, in order.
    pub(crate) async fn history(&self) -> Vec<(String, Position)> {
        let ids = Ids::new(self.log.epoch());
        let limit = Limit { records: usize::MAX, bytes: usize::MAX };
        let page = self.log.read(Position::START, limit).await.unwrap();
        assert!(page.end, "all of it is read at once");
        let id = |own: Option<Box<str>>, position| own.map_or_else(|| ids.id(position), String::from);
        page.entries.into_iter().map(|entry| (id(entry.record.id, entry.position), entry.position)).collect()
    }
}

fn listener(send_buffer: Option<usize>) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes).unwrap();
    }
    socket.listen(1024).unwrap();
    socket.into()
}

/// Request that publishes a form with a token for all topics.
pub(crate) fn publication(form: &str) -> Request {
    Request::post(HUB, form).bearer(&token(&["*"], &[]))
}

pub(crate) fn keys() -> Keys {
    Keys::secret(SECRET.as_bytes()).unwrap()
}

/// Token without an end.
pub(crate) fn token(publish: &[&str], subscribe: &[&str]) -> String {
    sign(&claims(publish, subscribe))
}

/// Claims of such a token.
pub(crate) fn claims(publish: &[&str], subscribe: &[&str]) -> Claims {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let grants = Grants { publish: owned(publish), subscribe: owned(subscribe), payload: None };
    Claims::new(grants, SystemTime::now(), Lifetime(None))
}

pub(crate) fn claims_with_payload(subscribe: &[&str], payload: Value) -> Claims {
    let mut claims = claims(&[], subscribe);
    claims.mercure.payload = Some(payload);
    claims
}

pub(crate) fn sign(claims: &Claims) -> String {
    sign_with(claims, SECRET)
}

pub(crate) fn sign_with(claims: &Claims, secret: &str) -> String {
    make(claims, &Signer::read(secret).unwrap(), None, None).unwrap()
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits for something that must happen soon, even on a busy machine.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

const PATIENCE: Duration = Duration::from_secs(25);

/// Encodes a text as a value of a form or query.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Seeds of a test with random cases: a few, or many in a long run (`SSEKIT_SOAK`).
///
/// `SSEKIT_CASES` sets their number.
pub(crate) fn cases(few: u64, many: u64) -> std::ops::Range<u64> {
    // With SSEKIT_SEED, the case that has failed.
    if let Some(seed) = std::env::var("SSEKIT_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return seed..seed + 1;
    }
    // Different cases in each run; the message of a failure names its seed.
    let first = fastrand::u64(..1 << 40);
    let usual = if std::env::var_os("SSEKIT_SOAK").is_some() { many } else { few };
    let asked = std::env::var("SSEKIT_CASES").ok().and_then(|cases| cases.parse().ok());
    first..first + asked.unwrap_or(usual)
}
