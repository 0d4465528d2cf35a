//! Target of a measurement: the server, and its requests.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use form_urlencoded::byte_serialize;
use http::Uri;
use serde::Serialize;
use ssekit_mercure::issue::{Claims, Grants, Lifetime, SignError, Signer, make};

use super::arguments::within;
use super::publication::{self, Publication};

/// Options of the target: the server, and the requests that subscribe and publish there.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// Server, such as http://127.0.0.1:3000; http:// may be omitted
    url: String,
    /// Protocol of the server; the other options of this section override parts of it
    #[arg(long, value_enum, default_value_t, help_heading = REQUESTS)]
    preset: Preset,
    /// Topic, with the preset mercure
    #[arg(long, default_value = "bench", help_heading = REQUESTS)]
    topic: String,
    /// Token (JWT) of every request [default: with a key, one that grants everything]
    #[arg(long, env = "SSEKIT_TOKEN", hide_env_values = true, help_heading = REQUESTS)]
    token: Option<String>,
    /// Request that subscribes [default: GET /.well-known/mercure?topic=TOPIC; plain: GET /events]
    #[arg(long, value_name = "METHOD PATH", help_heading = REQUESTS)]
    subscribe: Option<RequestLine>,
    /// Request that publishes [default: POST /.well-known/mercure; plain: POST /publish]
    #[arg(long, value_name = "METHOD PATH", help_heading = REQUESTS)]
    publish: Option<RequestLine>,
    /// Body of a publication, with {data}; one line of a batch
    /// [default: a form; in a batch JSON; plain: {data}]
    #[arg(long, value_name = "TEMPLATE", help_heading = REQUESTS)]
    body: Option<String>,
    /// Content type of a publication
    #[arg(long, value_name = "TYPE", help_heading = REQUESTS)]
    content_type: Option<String>,
    /// Send this header with every request, as in -H 'cookie: a=b' (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", help_heading = REQUESTS)]
    headers: Vec<Header>,
    /// Size of an event's data, in bytes
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 100,
        value_parser = within(publication::SIZES),
        help_heading = REQUESTS
    )]
    pub(super) size: u32,
}

const REQUESTS: &str = "Requests";

/// Protocol of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Preset {
    /// The Mercure protocol, as `ssekit serve` speaks it
    #[default]
    Mercure,
    /// GET /events, and POST /publish with the data of the event as the body
    Plain,
}

/// Method and path, such as `GET /events`.
#[derive(Clone, Debug)]
struct RequestLine {
    method: String,
    path: String,
}

/// Name and value of a header.
#[derive(Clone, Debug)]
struct Header(String);

impl Target {
    /// Address of the server.
    ///
    /// # Errors
    /// When the URL is not one of plain HTTP, or its host has no address.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        let host = self.host()?;
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (&*host, Some(80)),
        };
        let port = port.with_context(|| format!("{}: the port must be a number up to 65535", self.url))?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let mut addresses =
            (name, port).to_socket_addrs().with_context(|| format!("{name} has no address"))?;
        addresses.next().with_context(|| format!("{name} has no address"))
    }

    fn host(&self) -> Result<String> {
        let url = if self.url.contains("://") { self.url.clone() } else { format!("http://{}", self.url) };
        let uri: Uri = url.parse().with_context(|| format!("{} is not a URL", self.url))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!(
                "{}: ssekit bench supports plain HTTP/1.1 only, because it would otherwise measure TLS; use \
                 the port behind the TLS proxy",
                self.url
            ),
            _ => bail!("{}: expected an http:// URL", self.url),
        }
        ensure!(
            uri.path() == "/" || uri.path().is_empty(),
            "{}: the URL must not have a path; set paths with --subscribe and --publish",
            self.url
        );
        Ok(uri.authority().with_context(|| format!("{} has no host", self.url))?.to_string())
    }

    /// Topic under which the server's history keeps the publications; `None` if the protocol has no history.
    pub(super) fn history(&self) -> Option<&str> {
        (self.preset == Preset::Mercure).then_some(&*self.topic)
    }

    /// Request of a subscriber.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn subscription(&self, last_event_id: Option<&str>) -> Result<Vec<u8>> {
        let line = self.subscribe.clone().unwrap_or_else(|| match self.preset {
            Preset::Mercure => {
                let topic: String = byte_serialize(self.topic.as_bytes()).collect();
                RequestLine { method: "GET".to_owned(), path: format!("/.well-known/mercure?topic={topic}") }
            }
            Preset::Plain => RequestLine { method: "GET".to_owned(), path: "/events".to_owned() },
        });
        let mut headers = "accept: text/event-stream\r\ncache-control: no-store\r\n".to_owned();
        if line.method != "GET" {
            headers += "content-length: 0\r\n";
        }
        if let Some(id) = last_event_id {
            headers += &format!("last-event-id: {id}\r\n");
        }
        Ok(format!("{}{headers}\r\n", self.head(&line)?).into_bytes())
    }

    /// Request of a publisher, for this number of events at once.
    ///
    /// # Errors
    /// When the URL is invalid, or the template has no place for the data.
    pub(super) fn publication(&self, batch: u32) -> Result<Publication> {
        let line = self.publish.clone().unwrap_or_else(|| RequestLine {
            method: "POST".to_owned(),
            path: match self.preset {
                Preset::Mercure => "/.well-known/mercure".to_owned(),
                Preset::Plain => "/publish".to_owned(),
            },
        });
        let topic: String = byte_serialize(self.topic.as_bytes()).collect();
        let (body, content_type) = match (self.preset, batch) {
            (Preset::Mercure, 1) => {
                (format!("topic={topic}&data={{data}}"), "application/x-www-form-urlencoded")
            }
            (Preset::Mercure, _) => {
                let topic = serde_json::to_string(&self.topic).expect("a string");
                (format!(r#"{{"topic":{topic},"data":"{{data}}"}}"#), "application/x-ndjson")
            }
            (Preset::Plain, _) => ("{data}".to_owned(), "text/plain"),
        };
        let body = self.body.clone().unwrap_or(body);
        let content_type = self.content_type.as_deref().unwrap_or(content_type);
        let head = format!("{}content-type: {content_type}\r\n", self.head(&line)?);
        Publication::new(&head, &body, self.size, batch)
    }

    /// Signs the token of every request, which grants all topics.
    ///
    /// # Errors
    /// When the signature fails.
    pub(super) fn sign_with(&mut self, signer: &Signer) -> Result<(), SignError> {
        let all = || vec!["*".to_owned()];
        let grants = Grants { publish: all(), subscribe: all(), payload: None };
        let claims = Claims::new(grants, SystemTime::now(), Lifetime(None));
        self.token = Some(make(&claims, signer, None, None)?);
        Ok(())
    }

    /// Lines of the head that all requests have.
    fn head(&self, RequestLine { method, path }: &RequestLine) -> Result<String> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host()?);
        if let Some(token) = &self.token {
            ensure!(
                token.bytes().all(|byte| byte.is_ascii_graphic()),
                "--token contains characters that a token cannot have"
            );
            head += &format!("authorization: Bearer {token}\r\n");
        }
        for Header(header) in &self.headers {
            head += &format!("{header}\r\n");
        }
        Ok(head)
    }
}

impl FromStr for RequestLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (method, path) = text.split_once(' ').unwrap_or(("", text));
        let proper = method.bytes().all(|byte| byte.is_ascii_uppercase())
            && path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic());
        if method.is_empty() || !proper {
            return Err("expected a method and a path, such as 'GET /events'".to_owned());
        }
        Ok(Self { method: method.to_owned(), path: path.to_owned() })
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.split_once(':').map(|(name, _)| name.trim_end()).unwrap_or_default();
        let proper = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !proper || text.contains(|character: char| character.is_control() && character != '\t') {
            return Err("a header has the form NAME: VALUE, on one line".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        target: Target,
    }

    fn target(arguments: &[&str]) -> Target {
        Cli::parse_from([&["bench"], arguments].concat()).target
    }

    #[test]
    fn a_url_names_the_address() {
        for (url, address) in [
            ("127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "127.0.0.1:3000"),
            ("http://127.0.0.1", "127.0.0.1:80"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("[::1]", "[::1]:80"),
        ] {
            assert_eq!(target(&[url]).address().expect(url).to_string(), address);
        }
        for url in ["https://127.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1/events", "127.0.0.1:70000", ""]
        {
            target(&[url]).address().expect_err(url);
        }
    }

    #[test]
    fn presets_determine_the_requests() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let mercure = target(&["h:1", "--topic", "a b", "--token", "abc"]);
        let request = text(mercure.subscription(Some("earliest")).expect("a request"));
        assert!(
            request.starts_with("GET /.well-known/mercure?topic=a+b HTTP/1.1\r\nhost: h:1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nauthorization: Bearer abc\r\n"), "{request}");
        assert!(request.ends_with("\r\nlast-event-id: earliest\r\n\r\n"), "{request}");
        let request = text(mercure.publication(1).expect("a request").bytes().to_vec());
        assert!(request.starts_with("POST /.well-known/mercure HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\n\r\ntopic=a+b&data=~"), "{request}");
        let request = text(mercure.publication(2).expect("a request").bytes().to_vec());
        assert_eq!(request.matches(r#"{"topic":"a b","data":"~"#).count(), 2, "{request}");

        let plain = target(&["h:1", "--preset", "plain", "-H", "x: y", "--publish", "PUT /p"]);
        let request = text(plain.subscription(None).expect("a request"));
        assert!(
            request.starts_with("GET /events HTTP/1.1\r\n") && request.contains("\r\nx: y\r\n"),
            "{request}"
        );
        let request = text(plain.publication(1).expect("a request").bytes().to_vec());
        assert!(request.starts_with("PUT /p HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\ncontent-length: 100\r\n\r\n~"), "{request}");
    }

    #[test]
    fn arguments_that_would_break_a_request_are_refused() {
        for arguments in [
            ["--subscribe", "GET"],
            ["--subscribe", "GET /a b"],
            ["--publish", "post /a"],
            ["--header", "x: a\r\ny: b"],
            ["--header", ": a"],
            ["--size", "10"],
        ] {
            assert!(
                Cli::try_parse_from([&["bench", "h:1"], &arguments[..]].concat()).is_err(),
                "{arguments:?}"
            );
        }
        target(&["h:1", "--body", "no place"]).publication(1).map(|_| ()).expect_err("no place for data");
    }
}
