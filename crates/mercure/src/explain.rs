//! Explanations of tokens: each check of a request in its order, for people.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;

use super::access::{Access, not_granted};
use super::text::shown;
use super::token::{Parts, Token, TokenError};

/// Action of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publishing an update; the token must grant each of its topics.
    Publish,
    /// Reading private updates of topics.
    Subscribe,
}

/// Explanation why a token is valid or refused: each check in its order, up to the first that fails.
///
/// It contains the content of the token, so give it only to people with access to the token.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether all checks passed.
    pub allowed: bool,
    /// The checks that were made.
    pub checks: Vec<Check>,
    /// Header of the token, if it can be read.
    pub header: Option<Value>,
    /// Claims of the token, if they can be read. They are unproven if the signature was not verified.
    pub claims: Option<Value>,
}

/// One check of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Subject of the check, in a word or two.
    pub name: &'static str,
    /// Whether the check passed.
    pub passed: bool,
    /// The finding, and the way to fix it.
    pub detail: String,
}

/// Makes the checks of a request with this token, and describes each result.
pub fn explain(
    token: &str,
    access: &Access,
    action: Action,
    topics: &[&str],
    now: SystemTime,
) -> Explanation {
    let mut explanation = Explanation { allowed: false, checks: Vec::new(), header: None, claims: None };
    explanation.allowed = explanation.run(token, access, action, topics, now).is_some();
    explanation
}

impl Explanation {
    fn run(
        &mut self,
        token: &str,
        access: &Access,
        action: Action,
        topics: &[&str],
        now: SystemTime,
    ) -> Option<()> {
        let (keys, required) = access.of(action);
        let parts = self.check("form", Parts::split(token.trim(), &access.limits), |_| {
            "three parts in base64url, separated by dots".to_owned()
        })?;
        (self.header, self.claims) = parts.json();
        let header = self.check("header", parts.header(), |header| header.to_string())?;
        let algorithm =
            self.check("algorithm", header.algorithm(), |algorithm| format!("{algorithm} is supported"))?;
        self.check("signature", keys.check_signature(&parts, &header, algorithm), |_| {
            "valid, made with a key of the hub".to_owned()
        })?;
        let claims = self.check("claims", parts.claims(), |_| "valid JSON".to_owned())?;
        self.check("time", claims.check_times(now, access.leeway), |()| claims.times(now))?;
        if !required.is_empty() {
            self.check("audience and issuer", claims.check_required(required), |()| {
                "the claims “aud” and “iss” have the values that the hub requires".to_owned()
            })?;
        }
        let token = self.check("claim “mercure”", claims.token(&access.limits), granted)?;
        let claim = match action {
            Action::Publish => "publish",
            Action::Subscribe => "subscribe",
        };
        let selectors = if action == Action::Publish { &token.publish } else { &token.subscribe };
        let some = selectors.as_ref().filter(|selectors| !selectors.is_empty());
        if some.is_none() && action == Action::Publish {
            self.add(
                "grant",
                false,
                format!("the claim “mercure.{claim}” is absent or empty: nothing is granted"),
            );
            return None;
        }
        for topic in topics {
            let by = some.and_then(|selectors| selectors.iter().find(|selector| selector.matches(topic)));
            match by {
                Some(selector) => self.add(
                    "topic",
                    true,
                    format!("{} is granted by {} in “mercure.{claim}”", shown(topic), shown(selector.text())),
                ),
                None => self.add("topic", false, not_granted(&token, claim, topic)),
            }
        }
        self.checks.iter().all(|check| check.passed).then_some(())
    }

    fn check<T>(
        &mut self,
        name: &'static str,
        result: Result<T, TokenError>,
        words: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.add(name, true, words(&value));
                Some(value)
            }
            Err(error) => {
                self.add(name, false, error.to_string());
                None
            }
        }
    }

    fn add(&mut self, name: &'static str, passed: bool, detail: String) {
        self.checks.push(Check { name, passed, detail });
    }
}

fn granted(token: &Token) -> String {
    let list = |selectors: &Option<std::sync::Arc<[super::Selector]>>| match selectors.as_deref() {
        None | Some([]) => "nothing".to_owned(),
        Some(selectors) => {
            selectors.iter().take(10).map(|selector| shown(selector.text())).collect::<Vec<_>>().join(", ")
        }
    };
    format!("grants publishing to: {}; private updates of: {}", list(&token.publish), list(&token.subscribe))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let mark = if check.passed { "ok" } else { "NO" };
            writeln!(f, "{mark}  {}: {}", check.name, check.detail)?;
        }
        f.write_str(if self.allowed { "allowed" } else { "refused" })
    }
}
