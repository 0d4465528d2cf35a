//! Who may do what, as the protocol wants to know it.

use ssekit_hub::jwks::Source;
use ssekit_mercure::{Access, Algorithm, Keys, Origins};

use super::load::{Loaded, Problem, Problems};
use super::{Config, Key, Secret};

/// A set of keys that has to be fetched, or read, again and again.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// Where it is: a file, or an `https://` URL.
    pub source: Source,
    /// Which algorithms are allowed; empty: those that suit the keys.
    pub algorithms: Vec<Algorithm>,
    /// What to put them into: shared with [`Access`], and empty where they have to be fetched.
    pub keys: Keys,
}

impl Loaded {
    /// Who may do what; and the sets of keys that have to be fetched before those who have tokens may do anything.
    ///
    /// Reads the files of keys.
    ///
    /// # Errors
    /// All that is wrong with keys, at once.
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
        // One key for both is read, and fetched, once.
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

    /// Reads the files of keys again, and uses from now on what they hold, wherever this access was cloned to. Logs which keys were replaced.
    ///
    /// # Errors
    /// All that is wrong with them; nothing changes then.
    pub fn renew_keys(&self, access: &Access) -> Result<(), Problems> {
        let (fresh, _) = self.access()?;
        let config = &self.config;
        for (whose, key, keys, fresh) in [
            ("publishers", config.publisher_key(), &access.publishers, &fresh.publishers),
            ("subscribers", config.subscriber_key(), &access.subscribers, &fresh.subscribers),
        ] {
            let before = keys.summary();
            // Sets that are fetched are renewed by their rotation.
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
    /// The limits that the protocol holds.
    pub fn protocol_limits(&self) -> ssekit_mercure::Limits {
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
