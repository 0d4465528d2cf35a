//! Claims of a token (RFC 7519): the claim `mercure`, times, audience and issuer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::limits::Limits;
use super::object::Object;
use super::required::RequiredClaims;
use super::selector::Selector;
use super::text::shown;
use super::token::{Ago, Token, TokenError, check_end};

/// The claims of a token that the hub reads.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "date")]
    exp: Option<Date>,
    #[serde(default, deserialize_with = "date")]
    nbf: Option<Date>,
    aud: Option<Value>,
    iss: Option<Value>,
    mercure: Option<Object<Grants>>,
    #[serde(rename = "https://mercure.rocks/")]
    namespaced: Option<Object<Grants>>,
}

#[derive(Deserialize)]
struct Grants {
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
    payload: Option<Value>,
}

impl Claims {
    pub(super) fn check_times(&self, now: SystemTime, leeway: Duration) -> Result<(), TokenError> {
        check_end(self.exp.and_then(Date::time), now, leeway)?;
        if let Some(starts) = self.nbf.and_then(Date::time_rounded_up) {
            let early = starts.duration_since(now).unwrap_or_default();
            if early > leeway {
                return Err(TokenError::Early(early));
            }
        }
        Ok(())
    }

    pub(super) fn check_required(&self, required: &RequiredClaims) -> Result<(), TokenError> {
        required.check(self.aud.as_ref(), self.iss.as_ref())
    }

    /// Describes the times after they have been checked, for an explanation.
    pub(super) fn times(&self, now: SystemTime) -> String {
        match self.exp.and_then(Date::time) {
            Some(expires) => {
                format!("valid for another {}", Ago(&expires.duration_since(now).unwrap_or_default()))
            }
            None => "does not expire: the token has no claim “exp”".to_owned(),
        }
    }

    pub(super) fn token(self, limits: &Limits) -> Result<Token, TokenError> {
        let Object(grants) = self.namespaced.or(self.mercure).ok_or(TokenError::NoClaim)?;
        Ok(Token {
            publish: selectors("publish", grants.publish, limits)?,
            subscribe: selectors("subscribe", grants.subscribe, limits)?,
            payload: grants.payload.map(Arc::new),
            expires: self.exp.and_then(Date::time),
            signature: None,
        })
    }
}

fn selectors(
    claim: &'static str,
    texts: Option<Vec<String>>,
    limits: &Limits,
) -> Result<Option<Arc<[Selector]>>, TokenError> {
    let Some(texts) = texts else { return Ok(None) };
    if texts.len() > limits.claim_selectors {
        return Err(TokenError::ManySelectors { claim, count: texts.len(), most: limits.claim_selectors });
    }
    let selectors = texts.into_iter().map(|text| {
        Selector::parse(&text).map_err(|why| TokenError::Selector { claim, text: shown(&text), why })
    });
    selectors.collect::<Result<Arc<[_]>, _>>().map(Some)
}

/// Time of a token (RFC 7519, section 2): seconds since 1970, perhaps with a fraction.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Date(f64);

/// Reads a time and refuses `null`: a token whose `exp` is `null` would never expire.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    Date::deserialize(deserializer).map(Some)
}

impl Date {
    /// The time, rounded down to a second; `None` if it lies beyond the range of `SystemTime`.
    fn time(self) -> Option<SystemTime> {
        // The cast is exact for the next 285 million years, and clamps values beyond the range of `u64`.
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0 as u64)).filter(|_| self.0 < 1e15)
    }

    fn time_rounded_up(self) -> Option<SystemTime> {
        Self(self.0.ceil().min(9e14)).time()
    }
}
