//! Access rules: whether the token, cookie and origin of a request allow it to publish or to read.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, REFERER};
use http::request::Parts;
use http::uri::Authority;
use ssekit_log::Record;
use url::Url;

use super::explain::Action;
use super::form;
use super::host::foreign_host;
use super::keys::Keys;
use super::limits::Limits;
use super::origins::{Origins, is_local};
use super::problem::{Kind, Problem};
use super::required::RequiredClaims;
use super::selector::Selector;
use super::text::shown;
use super::token::{Token, TokenError};

/// Rules for publishers and subscribers.
///
/// The default lets nobody publish and nobody subscribe.
#[derive(Clone, Debug)]
pub struct Access {
    /// Keys that verify tokens of publishers.
    pub publishers: Keys,
    /// Keys that verify tokens of subscribers.
    pub subscribers: Keys,
    /// Required audience and issuer of publishers' tokens.
    pub publishers_required: RequiredClaims,
    /// Required audience and issuer of subscribers' tokens.
    pub subscribers_required: RequiredClaims,
    /// Clients without a token may subscribe, and read public updates.
    pub anonymous: bool,
    /// Clients without a token may publish anything and read everything. For development on one machine.
    pub open: bool,
    /// Further names of this machine that `Host` may have where the hub is [`open`](Self::open).
    ///
    /// `localhost` and IP addresses need no entry.
    pub own_names: Vec<String>,
    /// Name of the cookie that carries a token.
    pub cookie: String,
    /// Accepts a token in the URL, as `?authorization=`. Logs and browser histories keep URLs.
    pub query_token: bool,
    /// Origins whose pages may publish with a cookie.
    pub publish_origins: Origins,
    /// Origins whose pages may read the answers of the hub.
    pub cors_origins: Origins,
    /// Tolerated difference between the clocks of issuers and this machine.
    pub leeway: Duration,
    /// Limits of tokens.
    pub limits: Limits,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            publishers: Keys::none(),
            subscribers: Keys::none(),
            publishers_required: RequiredClaims::default(),
            subscribers_required: RequiredClaims::default(),
            anonymous: false,
            open: false,
            own_names: Vec::new(),
            cookie: "mercureAuthorization".to_owned(),
            query_token: true,
            publish_origins: Origins::None,
            cors_origins: Origins::None,
            leeway: Duration::ZERO,
            limits: Limits::default(),
        }
    }
}

/// Verified publisher of a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Publisher {
    /// Any client, with [`Access::open`].
    Anyone,
    /// The holder of this token.
    Holder(Arc<Token>),
}

impl Publisher {
    /// Checks that every topic of the update is granted. If one is not, the caller publishes nothing.
    ///
    /// # Errors
    /// With the first topic that is not granted.
    pub fn check(&self, record: &Record) -> Result<(), Problem> {
        let Self::Holder(token) = self else { return Ok(()) };
        match record.topics.iter().find(|topic| !token.may_publish(topic)) {
            None => Ok(()),
            Some(topic) => Err(Problem::new(Kind::InsufficientScope, not_granted(token, "publish", topic))),
        }
    }
}

impl Access {
    /// Verifies the publisher of a request with the cached keys.
    ///
    /// A caller that can fetch keys verifies again if the token's key is missing
    /// ([`lacks_key_of`](Self::lacks_key_of)).
    ///
    /// # Errors
    /// 401 without a token or with an invalid one; 403 if the token grants no publishing, or a page of a
    /// foreign origin sent the request; 400 if the request presents the token in an invalid form.
    pub fn publisher(&self, request: &Parts, now: SystemTime) -> Result<Publisher, Problem> {
        let Some(credential) = self.credential(request)? else {
            if !self.open {
                return Err(missing_token("publishing", &self.cookie));
            }
            self.check_visitor(request)?;
            return Ok(Publisher::Anyone);
        };
        if credential.carrier == Carrier::Cookie {
            self.check_origin(&request.headers)?;
        }
        if self.open && self.publishers.is_empty() {
            self.check_visitor(request)?;
            return Ok(Publisher::Anyone);
        }
        let token = self.verify(Action::Publish, &credential, now)?;
        if token.publish.as_ref().is_none_or(|selectors| selectors.is_empty()) {
            return Err(Problem::new(
                Kind::InsufficientScope,
                "the token does not grant publishing: its claim “mercure.publish” is absent or empty",
            ));
        }
        Ok(Publisher::Holder(Arc::new(token)))
    }

    /// Verifies the token of a request that reads; `None` for a permitted anonymous request.
    ///
    /// The cached keys are used, as by [`publisher`](Self::publisher).
    ///
    /// With [`open`](Self::open) and without keys for subscribers, the token grants everything.
    ///
    /// # Errors
    /// 401 with an invalid token, or without one where one is required; 400 if the request presents it in an
    /// invalid form.
    pub fn subscriber(&self, request: &Parts, now: SystemTime) -> Result<Option<Arc<Token>>, Problem> {
        match self.credential(request)? {
            None if self.open => self.check_host(request).map(|()| Some(everything())),
            None if self.anonymous => Ok(None),
            None => Err(missing_token("subscribing", &self.cookie)),
            Some(_) if self.open && self.subscribers.is_empty() => {
                self.check_host(request).map(|()| Some(everything()))
            }
            Some(credential) => self.verify(Action::Subscribe, &credential, now).map(Arc::new).map(Some),
        }
    }

    /// Checks again that a verified publisher may publish.
    ///
    /// The token may have expired since, and its key may have been replaced.
    ///
    /// # Errors
    /// 401 if it may not.
    pub fn still(&self, publisher: &Publisher, now: SystemTime) -> Result<(), Problem> {
        let Publisher::Holder(token) = publisher else { return Ok(()) };
        token
            .check_again(now, self.leeway)
            .map_err(|error| Problem::new(Kind::InvalidToken, error.to_string()))
    }

    /// Whether the keys for the action lack the key that the token names. Newer keys may verify the token.
    pub fn lacks_key(&self, token: &str, action: Action) -> bool {
        self.of(action).0.lacks_key(token, &self.limits)
    }

    /// Whether the keys for the action lack the key that the request's token names.
    pub fn lacks_key_of(&self, request: &Parts, action: Action) -> bool {
        let credential = self.credential(request).ok().flatten();
        credential.is_some_and(|credential| self.lacks_key(&credential.token, action))
    }

    /// Checks that the host of a request is a name of this machine that no foreign site can use.
    fn check_host(&self, request: &Parts) -> Result<(), Problem> {
        match foreign_host(&request.uri, &request.headers, &self.own_names) {
            None => Ok(()),
            Some(host) => Err(Problem::new(
                Kind::WrongHost,
                format!(
                    "{} is not a name of this machine: use localhost, its IP address, or the host name \
                     from --addr",
                    shown(host)
                ),
            )),
        }
    }

    /// Keys and required claims for an action.
    pub(super) fn of(&self, action: Action) -> (&Keys, &RequiredClaims) {
        match action {
            Action::Publish => (&self.publishers, &self.publishers_required),
            Action::Subscribe => (&self.subscribers, &self.subscribers_required),
        }
    }

    fn verify(&self, action: Action, credential: &Credential, now: SystemTime) -> Result<Token, Problem> {
        let (keys, required) = self.of(action);
        let verified = keys.verify_within(&credential.token, now, self.leeway, &self.limits, required);
        verified.map_err(|error: TokenError| {
            let carrier = match credential.carrier {
                Carrier::Header => "token from the header Authorization".to_owned(),
                Carrier::Query => "token from the query parameter “authorization”".to_owned(),
                Carrier::Cookie => format!("token from the cookie {}", self.cookie),
            };
            Problem::new(Kind::InvalidToken, format!("{error} ({carrier})"))
        })
    }

    /// Token of the request: that of the header, else of the query, else of the cookie.
    ///
    /// The others are ignored.
    pub(super) fn credential(&self, request: &Parts) -> Result<Option<Credential>, Problem> {
        if let Some(token) = bearer(&request.headers)? {
            return Ok(Some(Credential { token, carrier: Carrier::Header }));
        }
        if let Some(token) = self.of_query(request.uri.query().unwrap_or_default())? {
            return Ok(Some(Credential { token, carrier: Carrier::Query }));
        }
        let token = cookie(&request.headers, &self.cookie);
        Ok(token.map(|token| Credential { token, carrier: Carrier::Cookie }))
    }

    fn of_query(&self, query: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        for pair in form::pairs(query.as_bytes()).filter(|pair| pair.name() == b"authorization") {
            let token = pair.text()?;
            if token.is_empty() {
                continue;
            }
            if !self.query_token {
                return Err(presentation(
                    "the hub does not accept tokens in the URL: send the token in the header \
                     Authorization or in the cookie",
                ));
            }
            if found.replace(token).is_some() {
                return Err(presentation("the query has more than one parameter “authorization”; send one"));
            }
        }
        Ok(found)
    }

    /// Checks the origin of a request with a cookie.
    ///
    /// A page of a foreign origin could make the browser send the cookie along (cross-site request forgery).
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let foreign = |detail: String| Err(Problem::new(Kind::ForeignOrigin, detail));
        let (header, origin) = match (headers.get(ORIGIN), headers.get(REFERER)) {
            (Some(origin), _) => ("Origin", origin.to_str().unwrap_or_default().to_owned()),
            (None, Some(referer)) => {
                let url = referer.to_str().ok().and_then(|referer| Url::parse(referer).ok());
                ("Referer", url.map(|url| url.origin().ascii_serialization()).unwrap_or_default())
            }
            (None, None) => {
                return foreign(
                    "publishing with a cookie needs a header Origin or Referer, and the request has neither: send the \
                     token in the header Authorization instead"
                        .to_owned(),
                );
            }
        };
        if self.publish_origins.has(&origin) {
            return Ok(());
        }
        foreign(format!(
            "pages of {} (from the header {header}) may not publish with a cookie; the hub's operator \
             can allow them (setting `publish_origins`)",
            shown(&origin)
        ))
    }

    /// Checks the origin of a request where every client may publish.
    ///
    /// Pages of this machine, of the hub itself and of listed origins may publish. Otherwise any page that a
    /// developer visits could. Clients that are no browsers send no `Origin`.
    fn check_visitor(&self, request: &Parts) -> Result<(), Problem> {
        self.check_host(request)?;
        let Some(origin) = request.headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri.authority().map(Authority::as_str));
        let same = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host);
        if is_local(origin) || same || self.publish_origins.has(origin) {
            return Ok(());
        }
        Err(Problem::new(
            Kind::ForeignOrigin,
            format!(
                "pages of {} may not publish without a token; the hub's operator can allow them (setting \
                 `publish_origins`)",
                shown(origin)
            ),
        ))
    }
}

/// Text of the problem for a topic that a token does not grant.
pub(super) fn not_granted(token: &Token, claim: &str, topic: &str) -> String {
    let granted = if claim == "publish" { &token.publish } else { &token.subscribe };
    let granted = match granted.as_deref() {
        None => "the claim is absent".to_owned(),
        Some([]) => "the claim is empty".to_owned(),
        Some([only]) => format!("it has {}", shown(only.text())),
        Some([first, rest @ ..]) => format!("it has {} and {} more", shown(first.text()), rest.len()),
    };
    format!(
        "the token does not grant the topic {}: no selector in its claim “mercure.{claim}” matches it \
         ({granted})",
        shown(topic)
    )
}

#[derive(Debug)]
pub(super) struct Credential {
    pub(super) token: String,
    carrier: Carrier,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Header,
    Query,
    Cookie,
}

fn presentation(detail: &str) -> Problem {
    Problem::new(Kind::InvalidPresentation, detail)
}

fn missing_token(what: &str, cookie: &str) -> Problem {
    Problem::new(
        Kind::MissingToken,
        format!("{what} needs a token: send it as “Authorization: Bearer …”, or in the cookie {cookie}"),
    )
}

/// Token of the header `Authorization` (RFC 6750, section 2.1).
///
/// A value of another scheme is for another recipient, such as a proxy that asks for a password; the token
/// may then be in the query or the cookie.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut found = None;
    for value in headers.get_all(AUTHORIZATION) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = value.trim();
        let (scheme, token) = value.split_once([' ', '\t']).unwrap_or((value, ""));
        let token = token.trim();
        if token.is_empty() && scheme.split('.').count() == 3 {
            return Err(presentation("the header Authorization does not have the form “Bearer TOKEN”"));
        }
        if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
            continue;
        }
        if found.replace(token.to_owned()).is_some() {
            return Err(presentation(
                "the request has more than one header Authorization with a token; send one",
            ));
        }
    }
    Ok(found)
}

/// Value of the first non-empty cookie of this name.
///
/// The first of several is the one with the most specific path (RFC 6265, section 5.4).
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies =
        cookies.flat_map(|value| value.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let mut values = cookies.filter(|(found, _)| *found == name).map(|(_, value)| value.trim_matches('"'));
    values.find(|value| !value.is_empty()).map(str::to_owned)
}

/// Token of clients without one where the hub is open: it grants to read everything. All of them share it.
fn everything() -> Arc<Token> {
    static EVERYTHING: LazyLock<Arc<Token>> = LazyLock::new(|| {
        let any: Arc<[Selector]> = Selector::parse("*").into_iter().collect();
        Arc::new(Token { subscribe: Some(any), ..Token::default() })
    });
    Arc::clone(&EVERYTHING)
}
