//! Every setting: its name, its form, and what it is for. Flags, variables, the file, `--print` and `--help` are all made of this
//! table.

use super::form::{
    Between, Choice, Count, Form, Hidden, List, Mode, Optional, Path, Signing, Size, Time, Truth, Where,
};
use super::retention::Rules;
use super::texts::{ADDRESS, COOKIE, CORS_ORIGIN, HUB_PATH, JWKS, ORIGIN};
use super::value::{Refusal, Value};
use super::{Config, Durability, LogFormat, LogLevel, Slow};
use crate::mercure::Selector;

/// A thing that can be set.
pub(super) struct Setting {
    /// Its name in the file, dots and all.
    pub(super) key: &'static str,
    /// What stands for its value in `--help`; empty: a flag alone says yes.
    pub(super) placeholder: &'static str,
    /// What it is for.
    pub(super) help: &'static str,
    /// Takes a value into the configuration.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), Refusal>,
    /// The value in TOML; none when there is none, or it is not shown.
    pub(super) show: fn(&Config) -> Option<String>,
}

/// Settings that belong together.
pub(super) struct Group {
    /// The heading of these.
    pub(super) title: &'static str,
    /// They are what most people come for: `-h` shows them too.
    pub(super) first: bool,
    pub(super) settings: &'static [Setting],
}

/// `key, field, "PLACEHOLDER", form, "help"`.
macro_rules! setting {
    ($key:literal, $($field:ident).+, $placeholder:literal, $form:expr, $help:literal) => {
        Setting {
            key: $key,
            placeholder: $placeholder,
            help: $help,
            read: |config, value| {
                config.$($field).+ = $form.read(value)?;
                Ok(())
            },
            show: |config| $form.show(&config.$($field).+),
        }
    };
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) const GROUPS: &[Group] = &[
    Group {
        title: "Where",
        first: true,
        settings: &[
            setting!("addr", addr, "HOST:PORT", List(ADDRESS), "Listen here; port 0 takes any free one"),
            setting!("unix", unix, "PATH", Optional(Path), "Listen on this unix socket too"),
            setting!("unix_mode", unix_mode, "MODE", Mode, "The permissions of the unix socket"),
            setting!(
                "tls.cert",
                tls.cert,
                "PEM",
                Optional(Path),
                "Speak TLS with this certificate (and its chain)"
            ),
            setting!("tls.key", tls.key, "PEM", Optional(Path), "The certificate's private key"),
        ],
    },
    Group {
        title: "What",
        first: true,
        settings: &[
            setting!("dev", dev, "", Truth, "Let anyone publish and subscribe: for your own machine"),
            setting!(
                "dev_anywhere",
                dev_anywhere,
                "",
                Truth,
                "Allow --dev where other machines can reach it"
            ),
            setting!("demo", demo, "", Truth, "Serve a page that shows this machine and a chat room, live"),
            setting!("ui", ui, "", Truth, "Serve a page to publish, watch and look around with"),
            setting!("metrics", metrics, "", Truth, "Serve figures for Prometheus at /metrics"),
        ],
    },
    Group {
        title: "Storage",
        first: true,
        settings: &[
            setting!("store", store, "FOLDER", Where, "Keep updates in this folder, or in `memory`"),
            setting!(
                "durability",
                durability,
                "LEVEL",
                Choice(&[
                    ("memory", Durability::Memory),
                    ("periodic", Durability::Periodic),
                    ("sync", Durability::Sync)
                ]),
                "Answer publishers at once (memory), or when the system (periodic) or the disk (sync) has it"
            ),
            setting!(
                "sync_every",
                sync_every,
                "TIME",
                Time(1, HOUR),
                "How often `periodic` syncs to the disk"
            ),
            setting!(
                "retention",
                retention,
                "RULE",
                Rules,
                "How much is kept of what: 'topic=* records=100000 bytes=1GiB age=7d last=1'"
            ),
        ],
    },
    Group {
        title: "Who",
        first: true,
        settings: &[
            setting!(
                "key",
                key.secret,
                "SECRET",
                Optional(Hidden),
                "The key of all tokens: a secret, or PEM"
            ),
            setting!(
                "key_file",
                key.file,
                "PATH",
                Optional(Path),
                "A file that holds it, so that `ps` shows none"
            ),
            setting!("jwks", key.jwks, "PATH|URL", Optional(JWKS), "The set of keys (JWKS) of all tokens"),
            setting!("algorithms", key.algorithms, "NAME", List(Signing), "Take these algorithms alone"),
            setting!(
                "publisher.key",
                publisher.secret,
                "SECRET",
                Optional(Hidden),
                "The key of publishers' tokens"
            ),
            setting!("publisher.key_file", publisher.file, "PATH", Optional(Path), "A file that holds it"),
            setting!("publisher.jwks", publisher.jwks, "PATH|URL", Optional(JWKS), "The set of their keys"),
            setting!(
                "publisher.algorithms",
                publisher.algorithms,
                "NAME",
                List(Signing),
                "Take these algorithms alone"
            ),
            setting!(
                "subscriber.key",
                subscriber.secret,
                "SECRET",
                Optional(Hidden),
                "The key of subscribers' tokens"
            ),
            setting!("subscriber.key_file", subscriber.file, "PATH", Optional(Path), "A file that holds it"),
            setting!("subscriber.jwks", subscriber.jwks, "PATH|URL", Optional(JWKS), "The set of their keys"),
            setting!(
                "subscriber.algorithms",
                subscriber.algorithms,
                "NAME",
                List(Signing),
                "Take these algorithms alone"
            ),
            setting!("anonymous", anonymous, "", Truth, "Who has no token may subscribe to what is public"),
            setting!(
                "cors_origins",
                cors_origins,
                "ORIGIN",
                List(CORS_ORIGIN),
                "Whose pages may ask: https://app.example; * for any, without their cookies"
            ),
            setting!(
                "publish_origins",
                publish_origins,
                "ORIGIN",
                List(ORIGIN),
                "Whose pages may publish with a cookie"
            ),
        ],
    },
    Group {
        title: "Protocol",
        first: false,
        settings: &[
            setting!("hub_path", hub_path, "PATH", HUB_PATH, "The hub's path"),
            setting!("cookie", cookie, "NAME", COOKIE, "The cookie that may hold a token"),
            setting!("query_token", query_token, "", Truth, "A token may stand in the URL: ?authorization="),
            setting!(
                "subscriptions",
                subscriptions,
                "",
                Truth,
                "Tell who is subscribed to what: events and API"
            ),
        ],
    },
    Group {
        title: "Streams",
        first: false,
        settings: &[
            setting!(
                "heartbeat",
                heartbeat,
                "TIME",
                Time(SECOND, HOUR),
                "How often a silent stream gets a comment"
            ),
            setting!(
                "stall",
                stall,
                "TIME",
                Time(SECOND, HOUR),
                "After how long a subscriber that reads nothing is ended"
            ),
            setting!(
                "peer_timeout",
                peer_timeout,
                "TIME",
                Time(SECOND, HOUR),
                "After how long a peer that acknowledges nothing is taken for gone"
            ),
            setting!(
                "max_lifetime",
                max_lifetime,
                "TIME",
                Optional(Time(SECOND, 365 * DAY)),
                "After how long every stream ends, to come back"
            ),
            setting!(
                "retry",
                retry,
                "TIME..TIME",
                Between(Time(1, HOUR)),
                "When those come back whom the hub ends: a time between, another for each"
            ),
            setting!(
                "slow",
                slow,
                "POLICY",
                Choice(&[("close", Slow::Close), ("skip", Slow::Skip)]),
                "Who reads too slowly is ended, to resume (close), or goes on after an event `gap` (skip)"
            ),
            setting!("drain", drain, "TIME", Time(0, HOUR), "How long streams may take to end at the end"),
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
                "Connections at once"
            ),
            setting!(
                "limits.connections_per_address",
                limits.connections_per_address,
                "COUNT",
                Optional(Count(1, 10_000_000)),
                "Connections at once from one address (behind a proxy all come from one)"
            ),
            setting!(
                "limits.connects_per_second",
                limits.connects_per_second,
                "COUNT",
                Optional(Count(1, 1_000_000)),
                "New subscribers a second"
            ),
            setting!("limits.head_size", limits.head_size, "SIZE", Size(KIB, MIB), "A request's head"),
            setting!(
                "limits.head_time",
                limits.head_time,
                "TIME",
                Time(SECOND, HOUR),
                "The time until it is there"
            ),
            setting!("limits.body_size", limits.body_size, "SIZE", Size(KIB, GIB), "A request's body"),
            setting!(
                "limits.body_time",
                limits.body_time,
                "TIME",
                Time(SECOND, HOUR),
                "The time until it is there"
            ),
            setting!(
                "limits.body_memory",
                limits.body_memory,
                "SIZE",
                Size(MIB, 1024 * GIB),
                "Memory for the bodies of all requests together"
            ),
            setting!("limits.token_size", limits.token_size, "SIZE", Size(256, MIB), "A token"),
            setting!("limits.topics", limits.topics, "COUNT", Count(1, 100_000), "Topics of one update"),
            setting!(
                "limits.selectors",
                limits.selectors,
                "COUNT",
                Count(1, 100_000),
                "Selectors of one subscriber"
            ),
            setting!(
                "limits.selector_size",
                limits.selector_size,
                "SIZE",
                Size(16, Selector::MAX_BYTES as u64),
                "One topic or selector"
            ),
            setting!(
                "limits.pending",
                limits.pending,
                "SIZE",
                Size(4 * KIB, GIB),
                "What waits for one subscriber"
            ),
            setting!(
                "limits.pending_memory",
                limits.pending_memory,
                "SIZE",
                Size(MIB, 1024 * GIB),
                "Memory for the bytes that wait for all subscribers together"
            ),
            setting!(
                "limits.recent",
                limits.recent,
                "SIZE",
                Size(64 * KIB, 1024 * GIB),
                "The latest updates, held in memory for all"
            ),
        ],
    },
    Group {
        title: "Machine",
        first: false,
        settings: &[
            setting!(
                "threads",
                threads,
                "COUNT",
                Optional(Count(1, 1024)),
                "Threads that deliver; none: one for each processor"
            ),
            setting!(
                "backlog",
                backlog,
                "COUNT",
                Count(1, 1_000_000),
                "Connections that may wait to be accepted"
            ),
            setting!(
                "log.format",
                log.format,
                "FORM",
                Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
                "The form of log lines: text or json"
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
                "Which log lines: off, error, warn, info, debug or trace"
            ),
        ],
    },
];

/// All of them, in the order of the table.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

/// The one of this name.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

impl Setting {
    /// Its variable: `SSEKIT_LIMITS_BODY_SIZE`.
    pub(super) fn variable(&self) -> String {
        format!("SSEKIT_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// Its flag, without the dashes in front: `limits-body-size`.
    pub(super) fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_has_a_name_a_flag_and_a_variable_of_its_own() {
        let names: [fn(&Setting) -> String; 3] =
            [|setting| setting.key.to_owned(), Setting::flag, Setting::variable];
        for name in names {
            let all_names: HashSet<String> = all().map(name).collect();
            assert_eq!(all_names.len(), all().count());
        }
    }
}
