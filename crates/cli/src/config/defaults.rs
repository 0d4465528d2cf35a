//! Default values of the settings.

use std::time::Duration;

use ssekit_hub::fanout::{self, Pace};
use ssekit_hub::http;
use ssekit_mercure::RequiredClaims;

use super::{Config, Durability, Key, Limits, Log, LogFormat, LogLevel, Retention, Slow, Spread, Store, Tls};

impl Default for Config {
    fn default() -> Self {
        let pace = Pace::default();
        Self {
            // This machine alone.
            addr: vec!["127.0.0.1:3000".to_owned()],
            unix: None,
            unix_mode: 0o660,
            tls: Tls::default(),
            dev: false,
            dev_anywhere: false,
            demo: false,
            ui: false,
            metrics: false,
            store: Store::Folder("./ssekit-data".into()),
            durability: Durability::Periodic,
            sync_every: Duration::from_millis(100),
            retention: Vec::new(),
            // Clients of versions 0.x know no other path.
            hub_path: "/.well-known/mercure".to_owned(),
            key: Key::default(),
            publisher: Key::default(),
            subscriber: Key::default(),
            required: RequiredClaims::default(),
            publisher_required: RequiredClaims::default(),
            subscriber_required: RequiredClaims::default(),
            anonymous: false,
            cors_origins: Vec::new(),
            publish_origins: Vec::new(),
            cookie: "mercureAuthorization".to_owned(),
            query_token: true,
            subscriptions: false,
            subscriptions_anonymous: false,
            subscriptions_retention: Retention {
                topic: "*".to_owned(),
                records: Some(10_000),
                bytes: Some(16 << 20),
                age: None,
                last: None,
            },
            heartbeat: pace.heartbeat,
            stall: pace.stall,
            peer_timeout: Duration::from_secs(60),
            max_lifetime: None,
            retry: Spread { least: pace.retry.0, most: pace.retry.1 },
            slow: Slow::Close,
            drain: Duration::from_secs(5),
            limits: Limits::default(),
            threads: None,
            // Linux's default maximum (`net.core.somaxconn`).
            backlog: 4096,
            log: Log { format: LogFormat::Text, level: LogLevel::Info },
        }
    }
}

impl Default for Limits {
    /// The limits of the libraries, which define their defaults.
    fn default() -> Self {
        let (http, fanout, mercure) =
            (http::Options::default(), fanout::Options::default(), ssekit_mercure::Limits::default());
        Self {
            connections: http.connections,
            connections_per_address: http.connections_per_address,
            connects_per_second: http.connects_per_second,
            head_size: http.head_size,
            head_time: http.head_time,
            body_size: mercure.body,
            body_time: http.body_time,
            body_memory: http.body_memory,
            token_size: mercure.token,
            topics: mercure.topics,
            selectors: mercure.selectors,
            selector_size: mercure.selector,
            pending: fanout.pending,
            pending_memory: fanout.pending_memory,
            recent: fanout.window,
        }
    }
}
