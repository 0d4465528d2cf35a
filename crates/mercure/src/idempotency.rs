//! The request header `Idempotency-Key` of publications (draft-ietf-httpapi-idempotency-key-header).

use http::request::Parts;
use http::{HeaderMap, HeaderName};
use ring::digest::{Context, SHA256, digest};
use serde_json::Value;
use ssekit_log::IdempotencyKey;

use super::access::{Access, Publisher};
use super::problem::{Kind, Problem};
use super::token;

/// The header `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Header of the answer to `OPTIONS`: the seconds for which the hub remembers a key.
///
/// Hubs that do not send it may ignore keys.
pub const IDEMPOTENCY_KEY_LIFETIME: HeaderName = HeaderName::from_static("ssekit-idempotency-key-lifetime");

impl Access {
    /// Returns the idempotency key of a publication with this body; `None` without the header.
    ///
    /// The key belongs to its publisher: the same value from another publisher is another key. The identity
    /// of a publisher is the claims `iss` and `sub` of its token; without `sub`, `iss` and the granted
    /// selectors. Where no token is needed, all clients are one publisher.
    ///
    /// # Errors
    /// 400 if the header has no valid key, or was sent more than once.
    pub fn idempotency_key(
        &self,
        request: &Parts,
        publisher: &Publisher,
        body: &[u8],
    ) -> Result<Option<IdempotencyKey>, Problem> {
        let Some(text) = read(&request.headers).map_err(invalid)? else {
            return Ok(None);
        };
        let mut context = Context::new(&SHA256);
        self.add_publisher(request, publisher, &mut context)?;
        let publisher = context.clone().finish();
        add(&text, &mut context);
        let (hash, content) = (context.finish(), digest(&SHA256, body));
        Ok(Some(IdempotencyKey {
            hash: start(hash.as_ref()),
            publisher: start(publisher.as_ref()),
            content: start(content.as_ref()),
        }))
    }

    /// Adds the identity of a publisher to a hash.
    fn add_publisher(
        &self,
        request: &Parts,
        publisher: &Publisher,
        context: &mut Context,
    ) -> Result<(), Problem> {
        let Publisher::Holder(token) = publisher else {
            add(b"anyone", context);
            return Ok(());
        };
        let claims = self.claims(request)?;
        let claim = |name: &str| match claims.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let subject = claim("sub");
        if subject.is_empty() {
            add(b"grants", context);
            add(claim("iss").as_bytes(), context);
            let selectors = token.publish.as_deref().unwrap_or_default();
            let mut selectors: Vec<_> = selectors.iter().map(|selector| selector.text()).collect();
            selectors.sort_unstable();
            selectors.dedup();
            context.update(&(selectors.len() as u64).to_be_bytes());
            selectors.into_iter().for_each(|selector| add(selector.as_bytes(), context));
        } else {
            add(b"subject", context);
            add(claim("iss").as_bytes(), context);
            add(subject.as_bytes(), context);
        }
        Ok(())
    }

    /// Claims of the token of a verified request.
    fn claims(&self, request: &Parts) -> Result<Value, Problem> {
        let credential = self.credential(request)?;
        let claims =
            credential.and_then(|found| token::Parts::split(&found.token, &self.limits).ok()?.json().1);
        Ok(claims.unwrap_or_default())
    }
}

/// Adds a text to a hash, with its length, so that different sequences of texts never give the same bytes.
fn add(text: &[u8], context: &mut Context) {
    context.update(&(text.len() as u64).to_be_bytes());
    context.update(text);
}

/// First bytes of a hash of 32 bytes.
fn start<const LENGTH: usize>(hash: &[u8]) -> [u8; LENGTH] {
    hash.first_chunk().copied().unwrap_or([0; LENGTH])
}

/// Reads the header's value: a string in quotes (RFC 9651, section 3.3.3), or without them.
///
/// A value without quotes has no spaces; many clients send a UUID like that.
fn read(headers: &HeaderMap) -> Result<Option<Vec<u8>>, &'static str> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("it was sent more than once");
    }
    let value = value.as_bytes().trim_ascii();
    let text = match value.strip_prefix(b"\"") {
        Some(quoted) => unquote(quoted)?,
        None if value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"') => value.to_vec(),
        None => return Err("without quotes, it may contain only visible ASCII characters and no quote"),
    };
    match text.len() {
        0 => Err("it is empty"),
        1..=MOST => Ok(Some(text)),
        _ => Err("it is longer than 255 characters"),
    }
}

/// Reads the rest of a quoted string after its first quote.
fn unquote(quoted: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied();
    loop {
        match bytes.next() {
            None => return Err("its closing quote is missing"),
            Some(b'"') if bytes.len() == 0 => return Ok(text),
            Some(b'"') => return Err("text follows its closing quote"),
            Some(b'\\') => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => text.push(escaped),
                _ => return Err("a backslash may only precede a quote or another backslash"),
            },
            Some(byte @ b' '..=b'~') => text.push(byte),
            Some(_) => return Err("it contains a character that is not visible ASCII"),
        }
    }
}

fn invalid(why: &str) -> Problem {
    Problem::new(
        Kind::InvalidIdempotencyKey,
        format!(
            "the header Idempotency-Key is invalid: {why}; send one key of 1 to {MOST} characters, such \
             as a UUID in quotes"
        ),
    )
}

/// Maximum number of characters of a key.
const MOST: usize = 255;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn key(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        read(&headers).map(|key| key.map(|key| String::from_utf8(key).unwrap()))
    }

    #[test]
    fn a_key_is_a_quoted_string_or_a_bare_token() {
        let longest = "x".repeat(255);
        for (value, expected) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            ("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            ("\"a b; c, d\"", "a b; c, d"),
            ("\"\\\"\\\\\"", "\"\\"),
            (" !~\\;,= ", "!~\\;,="),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(key(&[value]), Ok(Some(expected.to_owned())), "{value}");
        }
        assert_eq!(key(&[]), Ok(None));
    }

    #[test]
    fn other_values_are_refused() {
        let long = "x".repeat(256);
        let quoted = format!("\"{long}\"");
        for value in [
            "",
            " ",
            "\"\"",
            "\"",
            "\"a",
            "a\"",
            "a b",
            "a\tb",
            "\u{e9}",
            "\"\u{e9}\"",
            "\"a\tb\"",
            "\"a\";b=1",
            "\"a\" \"b\"",
            "\"a\\\"",
            "\"\\a\"",
            "\"a\\",
            &long,
            &quoted,
        ] {
            assert!(key(&[value]).is_err(), "{value}");
        }
        assert_eq!(key(&["a", "a"]), Err("it was sent more than once"));
    }
}
