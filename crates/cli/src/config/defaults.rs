//! What holds when nobody has said anything.

use std::time::Duration;

use ssekit_mercure::RequiredClaims;

use super::{Config, Durability, Key, Limits, Log, LogFormat, LogLevel, Retention, Slow, Spread, Store, Tls};

impl Default for Config {
    fn default() -> Self {
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
            // Clients of 0.x know no other.
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
            // Below the 30 s after which the most impatient proxies give up, and twice within the usual 60 s.
            heartbeat: Duration::from_secs(25),
            stall: Duration::from_secs(30),
            peer_timeout: Duration::from_secs(60),
            max_lifetime: None,
            retry: Spread { least: Duration::from_millis(500), most: Duration::from_millis(1500) },
            slow: Slow::Close,
            drain: Duration::from_secs(5),
            limits: Limits::default(),
            threads: None,
            // What Linux allows unless told otherwise (`net.core.somaxconn`).
            backlog: 4096,
            log: Log { format: LogFormat::Text, level: LogLevel::Info },
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 100_000,
            connections_per_address: None,
            connects_per_second: None,
            head_size: 16 << 10,
            head_time: Duration::from_secs(10),
            body_size: 1 << 20,
            body_time: Duration::from_secs(30),
            body_memory: 64 << 20,
            token_size: 8 << 10,
            topics: 1000,
            selectors: 100,
            selector_size: 4096,
            pending: 64 << 10,
            pending_memory: 64 << 20,
            recent: 16 << 20,
        }
    }
}
