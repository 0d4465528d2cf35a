//! One configuration: what the program does, and who has said so.
//!
//! ```text
//!  defaults ◀ --dev ◀ FILE.toml ◀ SSEKIT_… ◀ --flags        the right one wins
//!  └──────────────────────┬──────────────────────┘
//!                    Config (plain data)
//! ```
//!
//! Every setting has one name in all three places: `limits.body_size` in the file is `SSEKIT_LIMITS_BODY_SIZE` in the environment and
//! `--limits-body-size` as a flag. A list is an array in the file and has commas in the other two, where a flag may also be
//! repeated.

mod access;
mod check;
mod defaults;
mod file;
mod flags;
mod form;
mod load;
mod print;
mod quantity;
mod retention;
mod rules;
mod secret;
mod settings;
mod texts;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use ssekit_mercure::{Algorithm, AllowedOrigin, RequiredClaims};

pub use self::access::KeySet;
pub use self::flags::Flags;
pub use self::load::{Loaded, Origin, Problem, Problems};
pub use self::secret::Secret;

pub(crate) use self::quantity::{show_time, time};

/// What `ssekit serve` does. Plain data: what a field means is said here, whether it can be so by the loader.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen, each `HOST:PORT`. May be empty when there is a [unix socket](Self::unix).
    pub addr: Vec<String>,
    /// A unix socket to listen on too.
    pub unix: Option<PathBuf>,
    /// The permissions of that socket, as `chmod` counts them.
    pub unix_mode: u32,
    /// The certificate of the TLS that all of [`addr`](Self::addr) speak; none: plain HTTP.
    pub tls: Tls,

    /// Anyone may publish and subscribe: for a developer's own machine.
    pub dev: bool,
    /// `dev` on addresses that other machines can reach too.
    pub dev_anywhere: bool,
    /// Serve the demo: this machine's figures and a chat room.
    pub demo: bool,
    /// Serve the page to publish, watch and look around with.
    pub ui: bool,
    /// Serve figures for Prometheus at `/metrics`.
    pub metrics: bool,

    /// Where updates are kept.
    pub store: Store,
    /// When an update counts as kept, and its publisher is answered.
    pub durability: Durability,
    /// At least how often the store is synced to the disk, with [`Durability::Periodic`].
    pub sync_every: Duration,
    /// How much is kept; the first rule that has a topic counts for it. What no rule has is kept without a limit.
    pub retention: Vec<Retention>,

    /// The hub's path; subscriptions lie below it.
    pub hub_path: String,
    /// The keys of publishers' and subscribers' tokens, where these have none of their own.
    pub key: Key,
    /// The keys of publishers' tokens.
    pub publisher: Key,
    /// The keys of subscribers' tokens.
    pub subscriber: Key,
    /// Audience and issuer that tokens must have, unless there is a list for publishers or subscribers alone.
    pub required: RequiredClaims,
    /// Those of publishers' tokens.
    pub publisher_required: RequiredClaims,
    /// Those of subscribers' tokens.
    pub subscriber_required: RequiredClaims,
    /// Who has no token may subscribe to what is public.
    pub anonymous: bool,
    /// Origins whose pages may subscribe, patterns of them, or `*` for all without cookies. Empty with `dev`: pages of the visitor's own machine.
    pub cors_origins: Vec<AllowedOrigin>,
    /// Whose pages may publish by a cookie: origins.
    pub publish_origins: Vec<AllowedOrigin>,
    /// The cookie that may hold a token.
    pub cookie: String,
    /// A token may stand in the URL, as `?authorization=`.
    pub query_token: bool,
    /// Tell by events and an API who is subscribed to what.
    pub subscriptions: bool,
    /// Subscribers without a token are announced, too.
    pub subscriptions_anonymous: bool,
    /// What is kept of the events about subscriptions; its topic says nothing.
    pub subscriptions_retention: Retention,

    /// How often a subscriber that gets nothing else gets a comment.
    pub heartbeat: Duration,
    /// After how long a subscriber that reads nothing is ended.
    pub stall: Duration,
    /// After how long without any acknowledgement a peer is taken for gone (`TCP_USER_TIMEOUT`).
    pub peer_timeout: Duration,
    /// How long a subscriber may stay before it has to come back; none: for ever.
    pub max_lifetime: Option<Duration>,
    /// When a subscriber that was ended comes back: a time between these, another for each.
    pub retry: Spread,
    /// What becomes of a subscriber that has more to read than it may.
    pub slow: Slow,
    /// How long streams may take to end when the program ends.
    pub drain: Duration,

    /// The most of everything.
    pub limits: Limits,
    /// How many threads deliver; none: one for each processor.
    pub threads: Option<usize>,
    /// How many connections may wait to be accepted, on each address.
    pub backlog: u32,
    /// What is written to stderr of what happens.
    pub log: Log,
}

/// The certificate and its key, both PEM, both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that it depends on, in this order.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// Where updates are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory: gone when the program ends.
    Memory,
    /// In this folder, which is made when it is not there.
    Folder(PathBuf),
}

/// When an update counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once: a crash of the program loses the last moments.
    Memory,
    /// When the system has it: a crash of the machine loses what came since the last sync.
    Periodic,
    /// When the disk has it.
    Sync,
}

/// How much is kept of some topics. No limit that is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Which: a topic, a template, or `*`.
    pub topic: String,
    /// At most so many updates.
    pub records: Option<u64>,
    /// At most so many bytes.
    pub bytes: Option<u64>,
    /// None that is older.
    pub age: Option<Duration>,
    /// Of each topic, at most so many of the latest.
    pub last: Option<u64>,
}

/// By which keys tokens are verified. At most one of `secret`, `file` and `jwks` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// A secret (HS256 and its like), or a public key as PEM.
    pub secret: Option<Secret>,
    /// A file that holds such.
    pub file: Option<PathBuf>,
    /// A set of keys (JWKS): its file, or its `https://` URL.
    pub jwks: Option<String>,
    /// Which algorithms are allowed; empty: those that suit the key.
    pub algorithms: Vec<Algorithm>,
}

/// A time between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The shortest.
    pub least: Duration,
    /// The longest; not shorter.
    pub most: Duration,
}

/// What becomes of a subscriber that is overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// Its stream ends, and it resumes with its last event ID.
    Close,
    /// It goes on with what is new, after an event `gap`.
    Skip,
}

/// The most of everything. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address, or from one network of IPv6. None: a tenth of all from a public address, and any number from
    /// loopback and private addresses, since those are mostly proxies.
    pub connections_per_address: Option<usize>,
    /// New subscribers a second; none: no limit.
    pub connects_per_second: Option<u32>,
    /// A request's head.
    pub head_size: usize,
    /// The time until it is there.
    pub head_time: Duration,
    /// A request's body.
    pub body_size: usize,
    /// The time until it is there.
    pub body_time: Duration,
    /// Memory for the bodies of all requests together, each without its first 16 KiB.
    pub body_memory: usize,
    /// A token.
    pub token_size: usize,
    /// Topics of one update.
    pub topics: usize,
    /// Selectors of one subscriber.
    pub selectors: usize,
    /// One topic or selector.
    pub selector_size: usize,
    /// What waits for one subscriber.
    pub pending: usize,
    /// Memory for the bytes that wait for all subscribers together, besides [`recent`](Self::recent).
    pub pending_memory: usize,
    /// The latest updates, which are held in memory for all.
    pub recent: usize,
}

/// What is written to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// From which weight on.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The weight of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What may be about to fail.
    Warn,
    /// What an operator wants to know.
    Info,
    /// Each request.
    Debug,
    /// Everything.
    Trace,
}
