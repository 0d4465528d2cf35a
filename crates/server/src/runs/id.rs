use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The id of a [`Run`](super::Run): 1 to 128 characters that need no encoding in the path of a URL.
///
/// ```
/// use ssekit::server::RunId;
///
/// let id = RunId::random();
/// assert_eq!(id.as_str().len(), 32);
/// assert!("export-2026".parse::<RunId>().is_ok());
/// assert!("a/b".parse::<RunId>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RunId(Arc<str>);

/// The text is no [`RunId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run id has 1 to 128 characters of A-Z, a-z, 0-9, `-`, `.`, `_` and `~`")]
pub struct InvalidRunId;

impl RunId {
    /// Makes an id of 128 random bits, which nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", rand_bits()).into())
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRunId)
        }
    }
}

/// 128 bits of the system's random source. Without one, they come from the seeds of hash maps.
fn rand_bits() -> u128 {
    use std::hash::{BuildHasher as _, RandomState};
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_ok() {
        return u128::from_ne_bytes(bytes);
    }
    let half = || u128::from(RandomState::new().hash_one(()));
    half() << 64 | half()
}

impl Borrow<str> for RunId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({})", self.0)
    }
}
