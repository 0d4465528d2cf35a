//! URLs as errors, logs and `Debug` show them: without possible secrets.

use std::error::Error as StdError;
use std::fmt;

use url::Url;

/// The URL without user, password, query and fragment; a query that was there is `?…`.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = without_credentials(url);
    shown.set_fragment(None);
    let has_query = shown.query().is_some();
    shown.set_query(None);
    let mut shown = String::from(shown);
    if has_query {
        shown.push_str("?…");
    }
    shown
}

/// The same of a text that may be no URL.
pub(crate) fn redacted_text(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let start = head.find("//").map_or(0, |at| at + 2);
    let authority = head[start..].find(['/', '\\']).map_or(head.len(), |at| start + at);
    // A password may hold any of these where it was not encoded: the last `@` ends it.
    let login = head[start..].rfind('@').filter(|at| start + at < authority || head[start..].contains(':'));
    let host = login.map_or(start, |at| start + at + 1);
    let query = if rest.starts_with('?') { "?…" } else { "" };
    format!("{}{}{query}", &head[..start], &head[host..])
}

pub(crate) fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs that cannot have a user at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// An error and its causes, in one line.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            write!(f, ": {cause}")?;
            error = cause;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        for (url, expected) in [
            ("http://host/path", "http://host/path"),
            ("https://user:secret@host:8443/a/b?authorization=secret#secret", "https://host:8443/a/b?…"),
            ("http://secret@host/?", "http://host/?…"),
            ("http://host/?topic=a&access_token=secret", "http://host/?…"),
        ] {
            assert_eq!(redacted(&Url::parse(url).unwrap()), expected);
            assert_eq!(redacted_text(url), expected, "the same of its text");
        }
        for (text, expected) in [
            ("", ""),
            ("host/path?secret", "host/path?…"),
            ("ftp://user:secret@host/?secret", "ftp://host/?…"),
            ("http://user:sec/ret@", "http://"),
            ("user:secret@host", "host"),
            ("http://[::1/@a", "http://a"),
            ("/relative#secret", "/relative"),
            ("/users/@me", "/users/@me"),
        ] {
            assert_eq!(redacted_text(text), expected, "{text:?}");
        }
    }
}
