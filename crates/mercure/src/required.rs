//! Required values of the claims `aud` and `iss`.

use serde_json::Value;

use super::text::shown;
use super::token::TokenError;

/// Values that the claims `aud` and `iss` of a token must have (RFC 7519, sections 4.1.1 and 4.1.3).
///
/// A claim without a list is not checked.
///
/// If several services share the key set of an issuer, the key set verifies the tokens of all of them; `aud`
/// names the service that a token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequiredClaims {
    /// Names of this hub: `aud`, a text or a list, must contain one of them. An empty list checks nothing.
    pub audience: Vec<String>,
    /// Accepted issuers: `iss` must be one of them. An empty list checks nothing.
    pub issuer: Vec<String>,
}

impl RequiredClaims {
    /// Returns the own lists, and those of `other` where the own ones are empty.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let choose = |own: &[String], other: &[String]| if own.is_empty() { other } else { own }.to_vec();
        Self {
            audience: choose(&self.audience, &other.audience),
            issuer: choose(&self.issuer, &other.issuer),
        }
    }

    /// Whether both lists are empty, so that nothing is checked.
    pub(crate) fn is_empty(&self) -> bool {
        self.audience.is_empty() && self.issuer.is_empty()
    }

    /// Checks the two claims of a token.
    ///
    /// # Errors
    /// With the first claim that is missing or has another value.
    pub fn check(&self, audience: Option<&Value>, issuer: Option<&Value>) -> Result<(), TokenError> {
        let audiences = match audience {
            Some(Value::Array(audiences)) => audiences.as_slice(),
            one => one.map(std::slice::from_ref).unwrap_or_default(),
        };
        // A list that contains anything but texts is no audience.
        let audiences = if audiences.iter().all(Value::is_string) { audiences } else { &[] };
        check("aud", "audience", &self.audience, audiences, audience)?;
        let issuers = issuer.map(std::slice::from_ref).unwrap_or_default();
        check("iss", "issuer", &self.issuer, issuers, issuer)
    }
}

fn check(
    claim: &'static str,
    setting: &'static str,
    accepted: &[String],
    values: &[Value],
    found: Option<&Value>,
) -> Result<(), TokenError> {
    let is_accepted =
        |value: &Value| value.as_str().is_some_and(|value| accepted.iter().any(|one| one == value));
    if accepted.is_empty() || values.iter().any(is_accepted) {
        return Ok(());
    }
    let found = match found {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(shown(text)),
        Some(other) => Some(shown(&other.to_string())),
    };
    let accepted = accepted.iter().take(SHOWN).map(|one| shown(one)).collect::<Vec<_>>().join(" or ");
    Err(TokenError::RequiredClaim { claim, setting, found, accepted })
}

/// Maximum number of accepted values that a message lists.
const SHOWN: usize = 5;
