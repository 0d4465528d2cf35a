//! Parser of `application/x-www-form-urlencoded`, which keeps invalid UTF-8 for its caller to refuse.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::problem::{Kind, Problem};
use super::text;

/// Decoded name and value; a pair without `=` has an empty value.
pub(crate) struct Pair<'a> {
    name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
}

impl Pair<'_> {
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The value as text.
    pub(crate) fn text(self) -> Result<String, Problem> {
        match String::from_utf8(self.value.into_owned()) {
            Ok(text) => Ok(text),
            Err(error) => Err(Problem::new(
                Kind::NotUtf8,
                format!(
                    "the value of {} is not valid UTF-8 at byte {}: percent-encode it as UTF-8",
                    text::shown(&String::from_utf8_lossy(&self.name)),
                    error.utf8_error().valid_up_to()
                ),
            )),
        }
    }
}

/// Returns the pairs of `application/x-www-form-urlencoded`.
///
/// They are parsed as in the WHATWG URL standard (section 5.1), but with invalid UTF-8 unchanged, so that
/// readers of the value can refuse it.
pub(crate) fn pairs(form: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        Pair { name: decoded(name), value: decoded(value) }
    })
}

/// Name of the first pair that has the form of a list entry in PHP, such as `topic[]`, safe to be shown.
pub(crate) fn indexed_topic(form: &[u8]) -> Option<String> {
    let pair = pairs(form).find(|pair| pair.name.starts_with(b"topic["))?;
    Some(text::shown(&String::from_utf8_lossy(&pair.name)))
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}
