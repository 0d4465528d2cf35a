use serde_json::Value;

use super::text::shown;
use super::token::TokenError;

/// The values that a token's claims `aud` and `iss` must have (RFC 7519, sections 4.1.1 and 4.1.3). Claims without a list are not checked.
///
/// A key set that an issuer shares among several services verifies the tokens of all of them: `aud` says for which one a token is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequiredClaims {
    /// The names of this hub: `aud`, a text or a list, must have one of them. Empty: not checked.
    pub audience: Vec<String>,
    /// Issuers: `iss` must be one of them. Empty: not checked.
    pub issuer: Vec<String>,
}

impl RequiredClaims {
    /// Those that are demanded here, or else the others.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let choose = |own: &[String], other: &[String]| if own.is_empty() { other } else { own }.to_vec();
        Self {
            audience: choose(&self.audience, &other.audience),
            issuer: choose(&self.issuer, &other.issuer),
        }
    }

    /// Whether nothing is checked.
    pub(crate) fn is_empty(&self) -> bool {
        self.audience.is_empty() && self.issuer.is_empty()
    }

    /// Checks the two claims of a token.
    ///
    /// # Errors
    /// With the first that is missing or has another value.
    pub(crate) fn check(&self, audience: Option<&Value>, issuer: Option<&Value>) -> Result<(), TokenError> {
        let audiences = match audience {
            Some(Value::Array(audiences)) => audiences.as_slice(),
            one => one.map(std::slice::from_ref).unwrap_or_default(),
        };
        // A list with something else than texts is no audience at all.
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

/// Accepted values that a message repeats.
const SHOWN: usize = 5;
