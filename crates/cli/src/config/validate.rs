//! Rules that involve several settings.

use super::problem::{Origin, Origins, Problem};
use super::{Config, Key, Store};

/// Problems and warnings of a configuration.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Reasons why no client could use the hub.
    pub(super) unusable: Vec<String>,
}

/// Checks the settings against each other.
pub(super) fn validate(config: &Config, origins: &Origins) -> Report {
    let mut validator = Validator { config, origins, report: Report::default() };
    validator.listening();
    validator.keys();
    validator.dev();
    validator.storage();
    validator.report
}

struct Validator<'a> {
    config: &'a Config,
    origins: &'a Origins,
    report: Report,
}

impl Validator<'_> {
    fn listening(&mut self) {
        let config = self.config;
        if config.addr.is_empty() && config.unix.is_none() {
            self.problem("addr", "the hub has no address to listen on: set addr or unix".to_owned());
        }
        for (one, other, wrong) in [
            ("tls.cert", "tls.key", config.tls.cert.is_some() && config.tls.key.is_none()),
            ("tls.key", "tls.cert", config.tls.key.is_some() && config.tls.cert.is_none()),
        ] {
            if wrong {
                self.problem(
                    one,
                    format!("{one} requires {other}: TLS needs a certificate and its key, each a PEM file"),
                );
            }
        }
    }

    fn keys(&mut self) {
        let config = self.config;
        for (prefix, key) in
            [("", &config.key), ("publisher.", &config.publisher), ("subscriber.", &config.subscriber)]
        {
            let names = ["key", "key_file", "jwks"].map(|name| format!("{prefix}{name}"));
            let given = [key.secret.is_some(), key.file.is_some(), key.jwks.is_some()];
            let given: Vec<&String> =
                names.iter().zip(given).filter(|(_, given)| *given).map(|(name, _)| name).collect();
            if let [first, .., last] = given.as_slice() {
                let (first, last) = (*first, *last);
                let elsewhere = self.origins.of(first);
                self.problem(
                    last,
                    format!("{last} conflicts with {first} ({elsewhere}): set only one of them"),
                );
            }
            if matches!(self.origins.of(&names[0]), Origin::Flag(_)) && key.secret.is_some() {
                let flag = names[0].replace('.', "-");
                self.warn(format!(
                    "every user of this machine can read the value of --{flag} in the output of `ps`: \
                     use --{flag}-file"
                ));
            }
        }
        // The demo works without keys.
        if config.dev || config.demo {
            return;
        }
        if config.publisher_key().is_none() {
            self.report.unusable.push(
                "nobody can publish: set --publisher-key-file (or --key-file for publishers and \
                 subscribers), or --dev on your own machine"
                    .to_owned(),
            );
        }
        if config.subscriber_key().is_none() && !config.anonymous {
            self.report.unusable.push(
                "nobody can subscribe: set --subscriber-key-file (or --key-file), or --anonymous to let \
                 everyone read public updates"
                    .to_owned(),
            );
        }
    }

    fn dev(&mut self) {
        let config = self.config;
        if !config.dev {
            return;
        }
        let reachable = config.addr.iter().find(|addr| !is_loopback(addr));
        match reachable {
            Some(addr) if !config.dev_anywhere => {
                let origin = self.origins.of("addr");
                self.problem(
                    "dev",
                    format!(
                        "with --dev, everyone who can reach {addr} ({origin}) could publish and subscribe: \
                         listen on 127.0.0.1, configure keys instead of --dev, or add --dev-anywhere"
                    ),
                );
            }
            Some(addr) => {
                self.warn(format!("--dev: EVERYONE WHO CAN REACH {addr} CAN PUBLISH AND SUBSCRIBE"));
            }
            None => self.warn(
                "--dev: everyone on this machine can publish, subscribe and read private updates, without a \
                 token"
                    .to_owned(),
            ),
        }
    }

    fn storage(&mut self) {
        let origin = self.origins.of("durability");
        if self.config.store == Store::Memory && origin != Origin::Default {
            self.warn(format!("durability ({origin}) has no effect, because the store is in memory"));
        }
    }

    fn problem(&mut self, key: &str, what: String) {
        self.report.problems.push(Problem { origin: self.origins.of(key), what });
    }

    fn warn(&mut self, warning: String) {
        self.report.warnings.push(warning);
    }
}

/// Whether only this machine can reach the address. A name other than `localhost` may resolve to any address.
fn is_loopback(addr: &str) -> bool {
    match addr.parse::<std::net::SocketAddr>() {
        Ok(addr) => addr.ip().to_canonical().is_loopback(),
        Err(_) => addr.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
    }
}

impl Config {
    /// Keys that verify publishers' tokens; `None` if no token grants publishing.
    pub fn publisher_key(&self) -> Option<Key> {
        self.first_key(&self.publisher)
    }

    /// Keys that verify subscribers' tokens; `None` if no token grants subscribing.
    pub fn subscriber_key(&self) -> Option<Key> {
        self.first_key(&self.subscriber)
    }

    /// The own key or the common one, with the own algorithms or the common ones.
    fn first_key(&self, own: &Key) -> Option<Key> {
        let mut key = [own, &self.key].into_iter().find(|key| key.is_given())?.clone();
        let algorithms =
            [own, &self.key].map(|key| &key.algorithms).into_iter().find(|some| !some.is_empty());
        key.algorithms = algorithms.cloned().unwrap_or_default();
        Some(key)
    }
}

impl Key {
    /// Whether this is a key set at a URL.
    pub(crate) fn is_fetched(&self) -> bool {
        self.jwks.as_ref().is_some_and(|jwks| jwks.contains("://"))
    }

    /// Whether a key is set.
    pub(crate) fn is_given(&self) -> bool {
        self.secret.is_some() || self.file.is_some() || self.jwks.is_some()
    }
}
