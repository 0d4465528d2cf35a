//! Access rules and keys of a configuration.

use ssekit_hub::jwks::Source;
use ssekit_mercure::{Access, Algorithm, Keys, Origins};

use super::load::Loaded;
use super::problem::{Problem, Problems};
use super::{Config, Key, Secret};

/// Key set that must be read or fetched repeatedly.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// Its source: a file, or an `https://` URL.
    pub source: Source,
    /// Allowed algorithms; empty for all that fit the keys.
    pub algorithms: Vec<Algorithm>,
    /// Keys to replace. They are shared with [`Access`], and empty until the first fetch.
    pub keys: Keys,
}

impl Loaded {
    /// Returns the access rules, and the key sets that must be fetched before tokens can be verified.
    ///
    /// Reads key files.
    ///
    /// # Errors
    /// All faults of the keys.
    pub fn access(&self) -> Result<(Access, Vec<KeySet>), Problems> {
        let config = &self.config;
        let (mut sets, mut problems) = (Vec::new(), Vec::new());
        let mut keys =
            |prefix: &str, key: Option<Key>| match key.map(|key| self.keys(prefix, &key, &mut sets)) {
                None => Keys::none(),
                Some(Ok(keys)) => keys,
                Some(Err(problem)) => {
                    problems.push(problem);
                    Keys::none()
                }
            };
        let publishers = keys("publisher.", config.publisher_key());
        // A common key is read and fetched once.
        let subscribers = match config.subscriber_key() {
            key if key == config.publisher_key() => publishers.clone(),
            key => keys("subscriber.", key),
        };
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let access = Access {
            publishers,
            subscribers,
            publishers_required: config.publisher_required.or(&config.required),
            subscribers_required: config.subscriber_required.or(&config.required),
            anonymous: config.anonymous,
            open: config.dev,
            own_names: config.addr.clone(),
            cookie: config.cookie.clone(),
            query_token: config.query_token,
            publish_origins: config.publish_origins.clone().into(),
            // A page on a development server has another port.
            cors_origins: match config.dev && config.cors_origins.is_empty() {
                true => Origins::Local,
                false => config.cors_origins.clone().into(),
            },
            limits: config.protocol_limits(),
            ..Access::default()
        };
        Ok((access, sets))
    }

    /// Reads the key files again, and replaces the keys in every clone of this access.
    ///
    /// Logs the replaced keys.
    ///
    /// # Errors
    /// All faults of the files; then no key is replaced.
    pub fn renew_keys(&self, access: &Access) -> Result<(), Problems> {
        let (fresh, _) = self.access()?;
        let config = &self.config;
        for (whose, key, keys, fresh) in [
            ("publishers", config.publisher_key(), &access.publishers, &fresh.publishers),
            ("subscribers", config.subscriber_key(), &access.subscribers, &fresh.subscribers),
        ] {
            let before = keys.summary();
            // The rotation renews fetched key sets.
            if key.is_some_and(|key| !key.is_fetched()) && keys.replace(fresh) {
                tracing::warn!(
                    "the keys that verify {whose}' tokens were replaced; new keys: {}; old keys: {before}",
                    keys.summary()
                );
            }
        }
        Ok(())
    }

    fn keys(&self, prefix: &str, key: &Key, sets: &mut Vec<KeySet>) -> Result<Keys, Problem> {
        let name = match (&key.secret, &key.file) {
            (Some(_), _) => "key",
            (None, Some(_)) => "key_file",
            (None, None) => "jwks",
        };
        let own = format!("{prefix}{name}");
        let origin = self.origins.get(&own).unwrap_or_else(|| self.origins.of(name));
        let problem = |what: String| Problem { origin: origin.clone(), what };
        let source = key.jwks.as_ref().map(|jwks| Source::parse(jwks)).transpose();
        let source = source.map_err(|error| problem(error.to_string()))?;
        let algorithms = key.algorithms.clone();
        if let Some(source @ Source::Url(_)) = source {
            let keys = Keys::none();
            sets.push(KeySet { source, algorithms, keys: keys.clone() });
            return Ok(keys);
        }
        let text = key.read().map_err(problem)?;
        let text = text.as_ref().map(Secret::expose).unwrap_or_default();
        let keys = if source.is_some() { Keys::read_set(text) } else { Keys::read(text) };
        let allowed = keys.and_then(|keys| match key.algorithms.as_slice() {
            [] => Ok(keys),
            algorithms => keys.allow(algorithms),
        });
        let keys = allowed.map_err(|error| problem(error.to_string()))?;
        if let Some(source) = source {
            sets.push(KeySet { source, algorithms, keys: keys.clone() });
        }
        Ok(keys)
    }
}

impl Config {
    /// Limits of the protocol.
    pub(crate) fn protocol_limits(&self) -> ssekit_mercure::Limits {
        let limits = &self.limits;
        ssekit_mercure::Limits {
            body: limits.body_size,
            topics: limits.topics,
            topic: limits.selector_size,
            selectors: limits.selectors,
            selector: limits.selector_size,
            token: limits.token_size,
            ..ssekit_mercure::Limits::default()
        }
    }
}
