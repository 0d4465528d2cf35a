//! Table of all settings: name, type and help text.
//!
//! Flags, variables, the file, `--print` and `--help` are generated from it.

use ssekit_mercure::Selector;

use super::predicates::{ADDRESS, ANY_TEXT, COOKIE, HUB_PATH, JWKS};
use super::retention::{RetentionRules, SubscriptionRetention};
use super::value::{Refusal, Value};
use super::value_parser::{
    Bool, Choice, Count, List, Mode, Optional, Path, Range, SecretText, Signing, Size, StorePath, Time,
    ValueParser, WebOrigin,
};
use super::{Config, Durability, LogFormat, LogLevel, Slow};

/// A setting.
pub(super) struct Setting {
    /// Name in the file, with dots.
    pub(super) key: &'static str,
    /// Placeholder of the value in `--help`; empty for a switch.
    pub(super) placeholder: &'static str,
    /// Help text.
    pub(super) help: &'static str,
    /// Writes a value into the configuration.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), Refusal>,
    /// Whether a repeated flag adds to the value; the last one wins otherwise.
    pub(super) repeats: fn(&Config) -> bool,
    /// The value as TOML; `None` for a hidden value.
    pub(super) show: fn(&Config) -> Option<String>,
}

/// Settings under one heading.
pub(super) struct Group {
    /// The heading.
    pub(super) title: &'static str,
    /// Whether the short help (`-h`) shows them.
    pub(super) first: bool,
    pub(super) settings: &'static [Setting],
}

/// `key, field, "PLACEHOLDER", parser, "help"`.
macro_rules! setting {
    ($key:literal, $($field:ident).+, $placeholder:literal, $parser:expr, $help:literal) => {
        Setting {
            key: $key,
            placeholder: $placeholder,
            help: $help,
            read: |config, value| {
                config.$($field).+ = $parser.read(value)?;
                Ok(())
            },
            repeats: |config| repeats(&$parser, &config.$($field).+),
            show: |config| $parser.show(&config.$($field).+),
        }
    };
}

fn repeats<T, F: ValueParser<T>>(_: &F, _: &T) -> bool {
    F::REPEATS
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Listeners",
        first: true,
        settings: &[
            setting!(
                "addr",
                addr,
                "HOST:PORT",
                List(ADDRESS),
                "Listen on this address; port 0 picks a free port"
            ),
            setting!("unix", unix, "PATH", Optional(Path), "Also listen on this Unix socket"),
            setting!("unix_mode", unix_mode, "MODE", Mode, "Permissions of the Unix socket, in octal"),
            setting!("tls.cert", tls.cert, "PEM", Optional(Path), "Serve TLS with this certificate chain"),
            setting!("tls.key", tls.key, "PEM", Optional(Path), "Private key of the certificate"),
        ],
    },
    Group {
        title: "Features",
        first: true,
        settings: &[
            setting!(
                "dev",
                dev,
                "",
                Bool,
                "Development mode: everyone may publish and subscribe without a token; turns on --ui, \
                 --metrics, --subscriptions,\n--subscriptions-anonymous and --anonymous, and lets pages \
                 of localhost subscribe (any port)"
            ),
            setting!(
                "dev_anywhere",
                dev_anywhere,
                "",
                Bool,
                "Allow --dev on addresses that other machines can reach"
            ),
            setting!(
                "demo",
                demo,
                "",
                Bool,
                "Serve a demo page at /: the load of this machine and a chat room"
            ),
            setting!("ui", ui, "", Bool, "Serve an admin page at /hub/"),
            setting!("metrics", metrics, "", Bool, "Serve Prometheus metrics at /metrics"),
        ],
    },
    Group {
        title: "Storage",
        first: true,
        settings: &[
            setting!(
                "store",
                store,
                "FOLDER",
                StorePath,
                "Folder for the history, or `memory` to keep it in memory only"
            ),
            setting!(
                "durability",
                durability,
                "LEVEL",
                Choice(&[
                    ("memory", Durability::Memory),
                    ("periodic", Durability::Periodic),
                    ("sync", Durability::Sync)
                ]),
                "When to answer publishers: at once (memory), after the OS has the data (periodic), \
                 after it is on disk (sync)"
            ),
            setting!(
                "sync_every",
                sync_every,
                "TIME",
                Time(1, HOUR),
                "How often --durability periodic syncs to disk"
            ),
            setting!(
                "retention",
                retention,
                "RULE",
                RetentionRules,
                "What to keep per topic [default: everything]; the first matching rule applies: 'topic=* \
                 age=7d bytes=1GiB'"
            ),
        ],
    },
    Group {
        title: "Access control",
        first: true,
        settings: &[
            setting!(
                "key",
                key.secret,
                "SECRET",
                Optional(SecretText),
                "Key that verifies all tokens: a secret, or a public key as PEM"
            ),
            setting!(
                "key_file",
                key.file,
                "PATH",
                Optional(Path),
                "File with the key that verifies all tokens; unlike --key, it stays out of `ps`"
            ),
            setting!("jwks", key.jwks, "PATH|URL", Optional(JWKS), "Key set (JWKS) that verifies all tokens"),
            setting!("algorithms", key.algorithms, "NAME", List(Signing), "Accept only these JWT algorithms"),
            setting!(
                "audience",
                required.audience,
                "NAME",
                List(ANY_TEXT),
                "Accept only tokens for this audience (claim `aud`)"
            ),
            setting!(
                "issuer",
                required.issuer,
                "NAME",
                List(ANY_TEXT),
                "Accept only tokens of this issuer (claim `iss`)"
            ),
            setting!(
                "publisher.key",
                publisher.secret,
                "SECRET",
                Optional(SecretText),
                "Key that verifies publishers' tokens, instead of --key"
            ),
            setting!(
                "publisher.key_file",
                publisher.file,
                "PATH",
                Optional(Path),
                "File with the key that verifies publishers' tokens"
            ),
            setting!(
                "publisher.jwks",
                publisher.jwks,
                "PATH|URL",
                Optional(JWKS),
                "Key set (JWKS) that verifies publishers' tokens"
            ),
            setting!(
                "publisher.algorithms",
                publisher.algorithms,
                "NAME",
                List(Signing),
                "Accept only these JWT algorithms in publishers' tokens"
            ),
            setting!(
                "publisher.audience",
                publisher_required.audience,
                "NAME",
                List(ANY_TEXT),
                "Accept only publishers' tokens for this audience (claim `aud`)"
            ),
            setting!(
                "publisher.issuer",
                publisher_required.issuer,
                "NAME",
                List(ANY_TEXT),
                "Accept only publishers' tokens of this issuer (claim `iss`)"
            ),
            setting!(
                "subscriber.key",
                subscriber.secret,
                "SECRET",
                Optional(SecretText),
                "Key that verifies subscribers' tokens, instead of --key"
            ),
            setting!(
                "subscriber.key_file",
                subscriber.file,
                "PATH",
                Optional(Path),
                "File with the key that verifies subscribers' tokens"
            ),
            setting!(
                "subscriber.jwks",
                subscriber.jwks,
                "PATH|URL",
                Optional(JWKS),
                "Key set (JWKS) that verifies subscribers' tokens"
            ),
            setting!(
                "subscriber.algorithms",
                subscriber.algorithms,
                "NAME",
                List(Signing),
                "Accept only these JWT algorithms in subscribers' tokens"
            ),
            setting!(
                "subscriber.audience",
                subscriber_required.audience,
                "NAME",
                List(ANY_TEXT),
                "Accept only subscribers' tokens for this audience (claim `aud`)"
            ),
            setting!(
                "subscriber.issuer",
                subscriber_required.issuer,
                "NAME",
                List(ANY_TEXT),
                "Accept only subscribers' tokens of this issuer (claim `iss`)"
            ),
            setting!("anonymous", anonymous, "", Bool, "Allow anonymous subscriptions to public updates"),
            setting!(
                "cors_origins",
                cors_origins,
                "ORIGIN",
                List(WebOrigin { any: true }),
                "Origins allowed to subscribe (CORS): https://app.example, https://*.app.example, or *"
            ),
            setting!(
                "publish_origins",
                publish_origins,
                "ORIGIN",
                List(WebOrigin { any: false }),
                "Origins allowed to publish with a cookie"
            ),
        ],
    },
    Group {
        title: "Protocol",
        first: false,
        settings: &[
            setting!("hub_path", hub_path, "PATH", HUB_PATH, "Path of the hub"),
            setting!("cookie", cookie, "NAME", COOKIE, "Name of the cookie that may carry a token"),
            setting!("query_token", query_token, "", Bool, "Accept tokens in the URL: ?authorization="),
            setting!(
                "subscriptions",
                subscriptions,
                "",
                Bool,
                "Report active subscriptions: by events, and by the subscription API below the hub's path"
            ),
            setting!(
                "subscriptions_anonymous",
                subscriptions_anonymous,
                "",
                Bool,
                "Include subscribers without a token (with --subscriptions)"
            ),
            setting!(
                "subscriptions_retention",
                subscriptions_retention,
                "LIMITS",
                SubscriptionRetention,
                "What to keep of subscription events: 'records=10000 bytes=16MiB age=1d'"
            ),
        ],
    },
    Group {
        title: "Delivery",
        first: false,
        settings: &[
            setting!(
                "heartbeat",
                heartbeat,
                "TIME",
                Time(SECOND, HOUR),
                "Interval of the comments on idle streams, which keep proxies from closing them"
            ),
            setting!(
                "stall",
                stall,
                "TIME",
                Time(SECOND, HOUR),
                "Close the stream of a subscriber that has read nothing for this time"
            ),
            setting!(
                "peer_timeout",
                peer_timeout,
                "TIME",
                Time(SECOND, HOUR),
                "Timeout for unacknowledged TCP data"
            ),
            setting!(
                "max_lifetime",
                max_lifetime,
                "TIME",
                Optional(Time(SECOND, 365 * DAY)),
                "Close each stream after this time; its client reconnects [default: no limit]"
            ),
            setting!(
                "retry",
                retry,
                "TIME..TIME",
                Range(Time(1, HOUR)),
                "Reconnection delay sent to disconnected clients, chosen at random from this range"
            ),
            setting!(
                "slow",
                slow,
                "POLICY",
                Choice(&[("close", Slow::Close), ("skip", Slow::Skip)]),
                "When retention removes what a slow subscriber has not read: close its stream, or skip \
                 with a `gap` event"
            ),
            setting!(
                "drain",
                drain,
                "TIME",
                Time(0, HOUR),
                "At shutdown, spread the closing of streams over this time"
            ),
        ],
    },
    Group {
        title: "Limits",
        first: false,
        settings: &[
            setting!(
                "limits.connections",
                limits.connections,
                "COUNT",
                Count(1, 10_000_000),
                "Concurrent connections"
            ),
            setting!(
                "limits.connections_per_address",
                limits.connections_per_address,
                "COUNT",
                Optional(Count(1, 10_000_000)),
                "Concurrent connections from one address or IPv6 network\n[default: a tenth of \
                 --limits-connections for public addresses, no limit for private ones]"
            ),
            setting!(
                "limits.connects_per_second",
                limits.connects_per_second,
                "COUNT",
                Optional(Count(1, 1_000_000)),
                "New subscribers per second [default: no limit]"
            ),
            setting!(
                "limits.head_size",
                limits.head_size,
                "SIZE",
                Size(KIB, MIB),
                "Size of a request head: request line and headers"
            ),
            setting!(
                "limits.head_time",
                limits.head_time,
                "TIME",
                Time(SECOND, HOUR),
                "Time to receive a request head"
            ),
            setting!("limits.body_size", limits.body_size, "SIZE", Size(KIB, GIB), "Size of a request body"),
            setting!(
                "limits.body_time",
                limits.body_time,
                "TIME",
                Time(SECOND, HOUR),
                "Time to receive a request body"
            ),
            setting!(
                "limits.body_memory",
                limits.body_memory,
                "SIZE",
                Size(MIB, 1024 * GIB),
                "Memory for the bodies of all requests together"
            ),
            setting!("limits.token_size", limits.token_size, "SIZE", Size(256, MIB), "Size of a token"),
            setting!("limits.topics", limits.topics, "COUNT", Count(1, 100_000), "Topics per update"),
            setting!(
                "limits.selectors",
                limits.selectors,
                "COUNT",
                Count(1, 100_000),
                "Topic selectors per subscription"
            ),
            setting!(
                "limits.selector_size",
                limits.selector_size,
                "SIZE",
                Size(16, Selector::MAX_BYTES as u64),
                "Size of a topic or selector"
            ),
            setting!(
                "limits.pending",
                limits.pending,
                "SIZE",
                Size(4 * KIB, GIB),
                "Send buffer per subscriber"
            ),
            setting!(
                "limits.pending_memory",
                limits.pending_memory,
                "SIZE",
                Size(MIB, 1024 * GIB),
                "Memory for the send buffers and replays of all subscribers together"
            ),
            setting!(
                "limits.recent",
                limits.recent,
                "SIZE",
                Size(64 * KIB, 1024 * GIB),
                "Memory for the window of newest updates, which all subscribers share"
            ),
        ],
    },
    Group {
        title: "Process",
        first: false,
        settings: &[
            setting!(
                "threads",
                threads,
                "COUNT",
                Optional(Count(1, 1024)),
                "Delivery threads [default: one per CPU]"
            ),
            setting!(
                "backlog",
                backlog,
                "COUNT",
                Count(1, 1_000_000),
                "Connections waiting to be accepted, per address (listen backlog)"
            ),
            setting!(
                "log.format",
                log.format,
                "FORMAT",
                Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
                "Log format: text or json"
            ),
            setting!(
                "log.level",
                log.level,
                "LEVEL",
                Choice(&[
                    ("off", LogLevel::Off),
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                    ("trace", LogLevel::Trace),
                ]),
                "Log level: off, error, warn, info, debug or trace"
            ),
        ],
    },
];

/// All settings, in the order of the table.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The setting with this name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

impl Setting {
    /// Environment variable: `SSEKIT_LIMITS_BODY_SIZE`.
    pub(super) fn variable(&self) -> String {
        format!("SSEKIT_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Flag without the leading dashes: `limits-body-size`.
    pub(super) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_setting_has_its_own_name_flag_and_variable() {
        let names: [fn(&Setting) -> String; 3] =
            [|setting| setting.key.to_owned(), Setting::flag, Setting::variable];
        for name in names {
            let all_names: HashSet<String> = all().map(name).collect();
            assert_eq!(all_names.len(), all().count());
        }
    }
}
