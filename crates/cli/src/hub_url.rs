//! URLs as arguments of the commands.

use anyhow::{Context as _, Error, bail};
use url::Url;

use crate::terminal::say;

/// Adds the scheme, which may be omitted. (A query may contain a whole URL: a topic.)
pub(crate) fn with_scheme(text: &str) -> String {
    let start = text.split(['/', '?', '#']).next().unwrap_or_default();
    if start.ends_with(':') { text.to_owned() } else { format!("http://{text}") }
}

/// Returns the URL of a hub, whose path may be omitted.
pub(crate) fn hub_url(text: &str) -> Result<Url, Error> {
    let url = url_with_path(text, "/.well-known/mercure")?;
    if !url.username().is_empty() || url.password().is_some() {
        bail!("the URL of a hub cannot contain a user name or password: use --token or --key-file");
    }
    Ok(url)
}

/// An HTTP URL, with this path if it has none.
pub(crate) fn url_with_path(text: &str, path: &str) -> Result<Url, Error> {
    let whole = with_scheme(text);
    let mut url = Url::parse(&whole).with_context(|| format!("{:?} is not a URL", shown(text)))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        bail!("{:?} is not an http:// or https:// URL", shown(text));
    }
    if url.path() == "/" {
        url.set_path(path);
    }
    url.set_fragment(None);
    Ok(url)
}

/// URL for messages, without its query, which may hold a token, and without user name and password.
pub(crate) fn shown(text: &str) -> String {
    let (text, query) = text.split_once('?').map_or((text, ""), |(text, _)| (text, "?…"));
    match (text.find("//"), text.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}{}{query}", &text[..start + 2], &text[end + 1..])
        }
        (None, Some(end)) => format!("{}{query}", &text[end + 1..]),
        _ => format!("{text}{query}"),
    }
}

/// Warns that a token is sent unencrypted, unless to this machine.
pub(crate) fn say_if_unencrypted(url: &str) {
    if Url::parse(url).is_ok_and(|url| url.scheme() == "http" && !is_loopback(&url)) {
        say("the token is sent unencrypted, so that others on the network can read it: use https://");
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    }
}
