use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::problem::{Kind, Problem};
use super::text;

/// A name and its value, decoded; one without `=` has an empty value.
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

/// The pairs of `application/x-www-form-urlencoded`, as the WHATWG URL standard parses them (section 5.1), but invalid UTF-8
/// is kept for who reads the value to refuse.
pub(crate) fn pairs(form: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        Pair { name: decoded(name), value: decoded(value) }
    })
}

/// The name of the first pair that is called as PHP and others call an entry of a list, such as `topic[]`; fit to be shown.
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
