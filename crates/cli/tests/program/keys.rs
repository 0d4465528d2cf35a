//! Keys that change while the program runs: from a URL, from a file and at SIGHUP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rcgen::generate_simple_self_signed;
use ssekit_mercure::issue::{Claims, Grants, Lifetime, Signer, make};
use tempfile::tempdir;

use crate::http::{Answer, request};
use crate::program::{PATIENCE, Program, run, ssekit};

const HUB: &str = "/.well-known/mercure";
/// Answer of a URL instead of keys while its server is down.
const PAGE: &str = "<!doctype html><html><head><title>Down for maintenance</title></head></html>\n";

/// Key set with one secret of this name: 32 letters.
fn set(name: &str) -> String {
    // 32 bytes of `A`.
    format!(
        "{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"{name}\", \
         \"k\": \"QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\"}}]}}"
    )
}

/// Token that grants everything, with the key of this name.
fn token(name: &str) -> String {
    signed(&"A".repeat(32), Some(name))
}

fn signed(secret: &str, kid: Option<&str>) -> String {
    let all = || vec!["*".to_owned()];
    let grants = Grants { publish: all(), subscribe: all(), payload: None };
    let claims = Claims::new(grants, SystemTime::now(), Lifetime(None));
    make(&claims, &Signer::read(secret).expect("a secret"), None, kid).expect("it can sign")
}

/// Tokens that a reader of that page could make, had it become a key.
fn forged() -> [String; 2] {
    // By hand: our own program refuses to sign with it.
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    [PAGE, PAGE.trim_end()].map(|page| {
        let message = format!(
            "{}.{}",
            BASE64.encode(r#"{"alg":"HS256"}"#),
            BASE64.encode(r#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#)
        );
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, page.as_bytes());
        format!("{message}.{}", BASE64.encode(ring::hmac::sign(&key, message.as_bytes())))
    })
}

/// Server of keys, whose answer the test sets.
struct Issuer {
    addr: SocketAddr,
    answer: Arc<Mutex<(u16, String)>>,
}

impl Issuer {
    fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new((status, body.to_owned())));
        let of_now = Arc::clone(&answer);
        thread::spawn(move || {
            for mut socket in listener.incoming().map_while(Result::ok) {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if !matches!(socket.read(&mut byte), Ok(1)) {
                        break;
                    }
                    head.push(byte[0]);
                }
                let (status, body) = of_now.lock().expect("nobody panics with it").clone();
                let length = body.len();
                let _ = socket.write_all(
                    format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    )
                    .as_bytes(),
                );
            }
        });
        Self { addr, answer }
    }

    fn answer(&self, status: u16, body: &str) {
        *self.answer.lock().expect("nobody panics with it") = (status, body.to_owned());
    }
}

fn address(program: &Program) -> SocketAddr {
    let line = program.stdout.find("the hub");
    let rest = line.split("://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
    rest.unwrap_or_else(|| panic!("no address in {line:?}"))
}

fn serve(flags: &[&str]) -> (Program, SocketAddr) {
    let memory = ["serve", "--store", "memory", "--addr", "127.0.0.1:0"];
    let program = Program::start(ssekit().args(memory).args(flags));
    let addr = address(&program);
    (program, addr)
}

fn publish(addr: SocketAddr, token: &str) -> Answer {
    let form = "topic=a&data=x";
    request(
        addr,
        &format!(
            "POST {HUB} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\ncontent-type: \
             application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            form.len()
        ),
    )
}

fn subscribe(addr: SocketAddr, token: &str, accept: &str) -> Answer {
    request(
        addr,
        &format!(
            "GET {HUB}?topic=a HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\naccept: \
             {accept}\r\n\r\n"
        ),
    )
}

fn ready(addr: SocketAddr) -> u16 {
    request(addr, &format!("GET /readyz HTTP/1.1\r\nhost: {addr}\r\n\r\n")).status
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The page of a server that was down used to become the secret of all tokens, and clients that came while
/// there were no keys were refused for good.
#[test]
fn without_keys_from_the_url_tokens_are_refused_until_a_fetch_succeeds() {
    let issuer = Issuer::start(200, PAGE);
    let url = format!("http://{}/keys", issuer.addr);
    let (program, addr) = serve(&["--jwks", &format!("{url}?secret=1"), "--anonymous"]);
    let line = program.stderr.find("cannot use JWKS");
    assert!(line.contains(&format!("{url}: it is neither a key nor a key set in JSON")), "{line}");
    assert!(line.ends_with("no keys yet, all tokens are refused; next attempt in 1 s"), "{line}");
    assert!(!line.contains("secret=1"), "{line}");
    assert_eq!(ready(addr), 503);
    let [page, trimmed] = forged();
    for token in [&page, &trimmed, &token("1")] {
        let answer = publish(addr, token);
        assert_eq!(answer.status, 503);
        let wait: u64 = answer.header("retry-after").expect("when to come back").parse().expect("a number");
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(subscribe(addr, token, "*/*").status, 503);
        let answer = subscribe(addr, token, "text/event-stream");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        assert!(answer.text().starts_with("retry: "), "it says when to come back, and ends");
    }
    issuer.answer(500, "");
    let line = program.stderr.find("cannot fetch JWKS");
    assert!(line.contains(&format!("{url}: the response has the status 500 instead of 200")), "{line}");
    issuer.answer(200, &set("1"));
    until("the keys", || ready(addr) == 200);
    assert!(program.stderr.find(&url).ends_with("1 key (“1”)"));
    assert_eq!(publish(addr, &token("1")).status, 200);
    // A key that is unknown between two fetches may be known after the next.
    let answer = publish(addr, &token("2"));
    assert_eq!(answer.status, 503);
    for token in [page, trimmed] {
        assert_eq!(publish(addr, &token).status, 401);
        assert_eq!(subscribe(addr, &token, "text/event-stream").status, 401);
    }
}

/// curl that reads this hub's stream until its end.
fn stream(options: &[&str], url: &str, token: &str) -> Program {
    let authorization = format!("authorization: Bearer {token}");
    let always = ["--silent", "--show-error", "--no-buffer", "--insecure", "-H", &authorization];
    let program = Program::start(Command::new("curl").args(always).args(options).arg(url));
    program.stdout.find("retry:");
    program
}

/// The stream of a token whose key was removed used to continue forever.
#[test]
fn sighup_replaces_keys_and_ends_the_streams_of_removed_ones_on_every_transport() {
    let folder = tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a name").to_owned();
    let (keys, socket) = (path("jwks.json"), path("socket"));
    let certificate = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(path("cert.pem"), certificate.cert.pem()).expect("it can be written");
    std::fs::write(path("key.pem"), certificate.signing_key.serialize_pem()).expect("it can be written");
    let both = set("1").replace("[", &format!("[{},", &set("2")[10..set("2").len() - 2]));
    std::fs::write(&keys, both).expect("it can be written");

    let (plain, addr) = serve(&["--jwks", &keys, "--unix", &socket]);
    let (tls, tls_addr) =
        serve(&["--jwks", &keys, "--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")]);
    let open = |name: &str| {
        let [plain, tls] = ["http", "https"].map(|scheme| {
            let addr = if scheme == "https" { tls_addr } else { addr };
            format!("{scheme}://{addr}{HUB}?topic=a")
        });
        let token = token(name);
        [
            ("plain", stream(&[], &plain, &token)),
            ("HTTP/2 without TLS", stream(&["--http2-prior-knowledge"], &plain, &token)),
            ("unix", stream(&["--unix-socket", &socket], &plain, &token)),
            ("TLS", stream(&["--http1.1"], &tls, &token)),
            ("TLS and HTTP/2", stream(&["--http2"], &tls, &token)),
        ]
    };
    let (gone, kept) = (open("1"), open("2"));

    // A text that is no key set changes nothing.
    std::fs::write(&keys, PAGE).expect("it can be written");
    for program in [&plain, &tls] {
        program.signal("HUP");
        let line = program.stderr.find("the old keys stay in use");
        assert!(line.contains("--jwks: it is neither a key nor a key set in JSON"), "{line}");
    }
    assert_eq!(publish(addr, &token("1")).status, 200);
    for token in forged() {
        assert_eq!(publish(addr, &token).status, 401);
    }

    std::fs::write(&keys, set("2")).expect("it can be written");
    for program in [&plain, &tls] {
        program.signal("HUP");
        let line = program.stderr.find("were replaced");
        assert!(line.contains("1 key (“2”); old keys: 2 keys"), "{line}");
    }
    for (way, mut stream) in gone {
        assert!(stream.wait().success(), "{way}: it ends, and is not cut: {}", stream.stderr.rest());
    }
    for (way, mut stream) in kept {
        assert!(stream.ended().is_none(), "{way}");
    }
    assert_eq!(publish(addr, &token("2")).status, 200);
    // A key of a set that is fetched again may return.
    assert_eq!(publish(addr, &token("1")).status, 503);
}

/// Bytes of a file in which editors, shells and copying have left something beside the key.
///
/// The program either ignores that, or names it with the way to remove it: another secret than the intended
/// one would refuse all tokens.
#[test]
fn a_key_file_holds_the_key_alone_or_is_refused_with_the_way_to_fix_it() {
    const BOM: &str = "begins with a byte order mark (U+FEFF): save the file without one";
    const SPACES: &str = "it begins or ends with spaces or line feeds: remove them";
    const QUOTES: &str = "it is in quotes: remove them";
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("key").to_str().expect("a name").to_owned();
    let usual =
        ["serve", "--check", "--anonymous", "--store", "memory", "--addr", "127.0.0.1:0", "--key-file"];
    let refused = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("it can be written");
        let served = run(ssekit().args(usual).arg(&file));
        let made = run(ssekit().args(["token", "make", "--publish", "*", "--key-file", &file]));
        assert_eq!(served.status.success(), made.status.success(), "{served:?} {made:?}");
        [served, made].map(|output| match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).expect("UTF-8")),
            false => Err(String::from_utf8(output.stderr).expect("UTF-8")),
        })
    };
    let secret = "0123456789abcdef 0123456789\"abcdef'";
    let verifies = ssekit_mercure::Keys::read(secret).expect("a secret");
    for end in ["", "\n", "\r\n"] {
        let [served, made] = refused(format!("{secret}{end}").as_bytes());
        served.expect("the configuration is valid");
        let token = made.expect("a token");
        verifies.verify(token.trim_end(), SystemTime::now()).expect("it is signed with the secret alone");
    }
    let utf16: Vec<u8> = format!("\u{FEFF}{secret}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                  -----END PUBLIC KEY-----\n";
    for (bytes, words) in [
        (format!("\u{FEFF}{secret}"), BOM),
        (format!("\u{FEFF}{secret}\r\n"), BOM),
        (format!("{secret}\n\n"), SPACES),
        (format!("{secret}\r\n\r\n"), SPACES),
        (format!("{secret}\n\r"), SPACES),
        (format!("{secret}\r"), SPACES),
        (format!("{secret} \n"), SPACES),
        (format!("{secret}\t"), SPACES),
        (format!("  {secret}\n"), SPACES),
        (format!("\n{secret}\n"), SPACES),
        (format!("\u{a0}{secret}"), SPACES),
        (format!("\"{secret}\"\n"), QUOTES),
        (format!("'{secret}'\r\n"), QUOTES),
        (format!("\u{FEFF}{public}"), "remove everything before “-----BEGIN”"),
        (format!("key:\n{public}"), "remove everything before “-----BEGIN”"),
        (format!("\u{FEFF}{}", set("1")), "without a byte order mark before it"),
        (format!("<html>{secret}</html>"), "it is HTML or XML"),
        (format!("ssh-ed25519 {secret}"), "convert it to PEM with `ssh-keygen -e -m PKCS8 -f FILE`"),
        (" \n".to_owned(), "is empty"),
    ] {
        for answer in refused(bytes.as_bytes()) {
            let error = answer.expect_err("it is refused");
            assert!(error.contains(words), "{bytes:?}: {error}");
            assert!(!error.contains("0123456789abcdef"), "the message has the secret: {error}");
        }
    }
    for answer in refused(&utf16) {
        let error = answer.expect_err("it is refused");
        assert!(error.contains("is not UTF-8 text: save it as UTF-8, without a byte order mark"), "{error}");
    }
    // A key set that is read from a file.
    std::fs::write(&file, format!("\u{FEFF}{}", set("1"))).expect("it can be written");
    let output = run(ssekit().args(&usual[..7]).args(["--jwks", &file]));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(BOM), "{error}");
}

/// An operator sees that tokens are refused, and why, without seeing any token.
#[test]
fn refused_tokens_leave_a_trace_at_info_and_no_log_line_holds_one() {
    const TOKEN: &str = "SECRETTOKEN";
    // A complete JWT with another key, and texts that are none.
    let tokens = [signed(&"B".repeat(32), None), TOKEN.to_owned(), format!("{TOKEN}.{TOKEN}.{TOKEN}")];
    for level in ["info", "trace"] {
        let (mut program, addr) = serve(&["--key", &"A".repeat(32), "--log-level", level]);
        for (at, token) in tokens.iter().enumerate() {
            let query = format!("topic=x&authorization={token}");
            for arguments in [
                vec!["--head".to_owned(), format!("http://{addr}{HUB}?{query}")],
                vec!["--head".to_owned(), format!("http://{addr}/nothing?{query}")],
                vec!["--head".to_owned(), format!("http://{addr}{HUB}/subscriptions?{query}")],
                vec![
                    "--head".to_owned(),
                    format!("http://{addr}{HUB}?topic=x"),
                    "-H".to_owned(),
                    format!("authorization: Bearer {token}"),
                ],
                vec![
                    "--head".to_owned(),
                    format!("http://{addr}{HUB}?topic=x"),
                    "-H".to_owned(),
                    format!("authorization: {token}"),
                ],
                vec![
                    "--head".to_owned(),
                    format!("http://{addr}{HUB}?topic=x"),
                    "-H".to_owned(),
                    format!("cookie: mercureAuthorization={token}"),
                ],
                vec!["--data".to_owned(), "topic=x".to_owned(), format!("http://{addr}{HUB}?{query}")],
                vec![
                    "--data".to_owned(),
                    "topic=x".to_owned(),
                    format!("http://{addr}{HUB}"),
                    "-H".to_owned(),
                    format!("authorization: Bearer {token}"),
                ],
                vec![
                    "--data".to_owned(),
                    "topic=x".to_owned(),
                    format!("http://{addr}{HUB}"),
                    "-H".to_owned(),
                    format!("cookie: mercureAuthorization={token}"),
                ],
            ] {
                for version in ["--http1.1", "--http2-prior-knowledge"] {
                    let mut curl = Command::new("curl");
                    let output = run(curl
                        .args(["--silent", "--write-out", "%{http_code}", "--output", "/dev/null", version])
                        .args(&arguments));
                    let status = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(
                        ["400", "401", "403", "404"].contains(&&*status),
                        "{at} {arguments:?} {version}: {status}"
                    );
                }
            }
        }
        program.signal("TERM");
        program.wait();
        let log = program.stderr.rest();
        let refused =
            log.lines().filter(|line| line.contains(" INFO ") && line.contains("problem=\"invalid-token\""));
        let refused: Vec<&str> = refused.collect();
        assert!(!refused.is_empty() && refused.len() < 10, "{level}: {refused:#?}");
        assert!(refused[0].contains("the token's signature is invalid"), "{refused:#?}");
        for secret in [TOKEN, tokens[0].rsplit('.').next().expect("three parts")] {
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(lines.is_empty(), "{level}: {lines:#?}");
        }
    }
}
