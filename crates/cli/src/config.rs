//! Configuration of `ssekit serve`, and the source of each value.
//!
//! ```text
//! defaults ◀ --dev ◀ FILE.toml ◀ SSEKIT_… ◀ --flags        a source further right takes precedence
//! ```
//!
//! Every setting has one name in all three places: `limits.body_size` in the file is
//! `SSEKIT_LIMITS_BODY_SIZE` in the environment and `--limits-body-size` as a flag. A list is an array in the
//! file and has commas in the other two, where a flag may also be repeated.

mod access;
mod check;
mod defaults;
mod file;
mod flags;
mod load;
mod log_retention;
mod predicates;
mod print;
mod problem;
mod retention;
mod secret;
mod settings;
mod units;
mod validate;
mod value;
mod value_parser;

use std::path::PathBuf;
use std::time::Duration;

use ssekit_mercure::{Algorithm, AllowedOrigin, RequiredClaims};

pub use self::access::KeySet;
pub use self::flags::Flags;
pub use self::load::Loaded;
pub use self::problem::{Origin, Problem, Problems};
pub use self::secret::Secret;

pub(crate) use self::units::{show_time, time};

/// Configuration of `ssekit serve`: plain data. The loader checks whether the values are valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Addresses to listen on, each `HOST:PORT`. May be empty if there is a [unix socket](Self::unix).
    pub addr: Vec<String>,
    /// Path of an additional Unix socket.
    pub unix: Option<PathBuf>,
    /// Permissions of that socket, in the notation of `chmod`.
    pub unix_mode: u32,
    /// TLS certificate for all addresses of [`addr`](Self::addr); plain HTTP without one.
    pub tls: Tls,

    /// Everyone may publish and subscribe, for development on one machine.
    pub dev: bool,
    /// Allows `dev` on addresses that other machines can reach.
    pub dev_anywhere: bool,
    /// Serves the demo: the load of this machine and a chat room.
    pub demo: bool,
    /// Serves the hub's page.
    pub ui: bool,
    /// Serves metrics for Prometheus at `/metrics`.
    pub metrics: bool,

    /// Storage of updates.
    pub store: Store,
    /// Time at which an update counts as stored, and its publisher gets the answer.
    pub durability: Durability,
    /// Maximum time between two syncs of the store, with [`Durability::Periodic`].
    pub sync_every: Duration,
    /// Retention rules; the first rule that matches a topic applies.
    ///
    /// Updates without a rule are kept without a limit.
    pub retention: Vec<Retention>,

    /// Path of the hub; the subscription API is below it.
    pub hub_path: String,
    /// Keys of the tokens of publishers and subscribers, unless these have keys of their own.
    pub key: Key,
    /// Keys of publishers' tokens.
    pub publisher: Key,
    /// Keys of subscribers' tokens.
    pub subscriber: Key,
    /// Required audience and issuer of tokens, unless publishers or subscribers have lists of their own.
    pub required: RequiredClaims,
    /// Required audience and issuer of publishers' tokens.
    pub publisher_required: RequiredClaims,
    /// Required audience and issuer of subscribers' tokens.
    pub subscriber_required: RequiredClaims,
    /// Clients without a token may subscribe to public updates.
    pub anonymous: bool,
    /// Origins whose pages may subscribe, patterns of them, or `*` for all without cookies.
    ///
    /// Empty with `dev`: pages of the visitor's own machine.
    pub cors_origins: Vec<AllowedOrigin>,
    /// Origins whose pages may publish with a cookie.
    pub publish_origins: Vec<AllowedOrigin>,
    /// Name of the cookie that may hold a token.
    pub cookie: String,
    /// Accepts a token in the URL, as `?authorization=`.
    pub query_token: bool,
    /// Announces subscriptions by events and lists them in the subscription API.
    pub subscriptions: bool,
    /// Also announces subscribers without a token.
    pub subscriptions_anonymous: bool,
    /// Retention of subscription events; its topic is not used.
    pub subscriptions_retention: Retention,

    /// Interval of comments on an idle stream.
    pub heartbeat: Duration,
    /// Time without progress after which a subscriber is closed.
    pub stall: Duration,
    /// Time without an acknowledgement after which a connection is closed (`TCP_USER_TIMEOUT`).
    pub peer_timeout: Duration,
    /// Maximum time of a stream; `None` for no limit.
    pub max_lifetime: Option<Duration>,
    /// Reconnection time of clients whose stream ends, random within this range.
    pub retry: Spread,
    /// Policy for subscribers that retention overtakes.
    pub slow: Slow,
    /// Maximum time for the end of streams at shutdown.
    pub drain: Duration,

    /// The most of everything.
    pub limits: Limits,
    /// Number of delivery threads; `None` for one per processor.
    pub threads: Option<usize>,
    /// Maximum number of connections that wait to be accepted, per address.
    pub backlog: u32,
    /// Log output on standard error.
    pub log: Log,
}

/// Certificate and key, both as PEM; both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by its chain.
    pub cert: Option<PathBuf>,
    /// The private key.
    pub key: Option<PathBuf>,
}

/// Storage of updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory, until the program ends.
    Memory,
    /// In this folder, which is created if it does not exist.
    Folder(PathBuf),
}

/// Time at which an update counts as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once: a crash of the program loses the newest updates.
    Memory,
    /// When the system has it: a crash of the machine loses updates since the last sync.
    Periodic,
    /// When the disk has it.
    Sync,
}

/// Retention rule. A limit that is absent does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Topics of the rule: a topic, a template, or `*`.
    pub topic: String,
    /// Maximum number of updates.
    pub records: Option<u64>,
    /// Maximum size of all updates in bytes.
    pub bytes: Option<u64>,
    /// Maximum age.
    pub age: Option<Duration>,
    /// Maximum number of the newest updates of each topic.
    pub last: Option<u64>,
}

/// Keys that verify tokens. At most one of `secret`, `file` and `jwks` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Shared secret (HS256, HS384, HS512), or a public key as PEM.
    pub secret: Option<Secret>,
    /// File with a secret or a public key.
    pub file: Option<PathBuf>,
    /// Key set (JWKS): its file, or its `https://` URL.
    pub jwks: Option<String>,
    /// Allowed algorithms; empty for all that fit the key.
    pub algorithms: Vec<Algorithm>,
}

/// Range of a random time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Minimum.
    pub least: Duration,
    /// Maximum; not below the minimum.
    pub most: Duration,
}

/// Policy for subscribers that retention overtakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// The stream ends, and the client resumes with its last event ID.
    Close,
    /// The stream continues with the remaining updates, after a `gap` event.
    Skip,
}

/// Limits. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections of one address, or of one IPv6 network.
    ///
    /// `None` for a tenth of all from a public address, and any number from loopback and private addresses,
    /// which are mostly proxies.
    pub connections_per_address: Option<usize>,
    /// Maximum number of new subscribers per second; `None` for no limit.
    pub connects_per_second: Option<u32>,
    /// Size of a request head.
    pub head_size: usize,
    /// Time until a head is complete.
    pub head_time: Duration,
    /// Size of a request body.
    pub body_size: usize,
    /// Time until a body is complete.
    pub body_time: Duration,
    /// Memory for the bodies of all requests together, each without its first 16 KiB.
    pub body_memory: usize,
    /// Size of a token.
    pub token_size: usize,
    /// Topics of one update.
    pub topics: usize,
    /// Selectors of one subscription.
    pub selectors: usize,
    /// Size of one topic or selector.
    pub selector_size: usize,
    /// Bytes that wait for one subscriber.
    pub pending: usize,
    /// Memory for the bytes that wait for all subscribers together, without [`recent`](Self::recent).
    pub pending_memory: usize,
    /// Size of the window: the newest updates, which stay in memory for all subscribers.
    pub recent: usize,
}

/// Log output on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Format of log lines.
    pub format: LogFormat,
    /// Lowest level of log lines.
    pub level: LogLevel,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Level of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// No lines.
    Off,
    /// Failures.
    Error,
    /// Conditions that may lead to failures.
    Warn,
    /// Events for operators.
    Info,
    /// Requests.
    Debug,
    /// All lines.
    Trace,
}
