use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use ssekit_client::{Error, Http, Reconnect, SelectError, source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::peer::Peer;
use crate::{data, eager, last_error, soon};

/// A server that sends the protocol's version as its one event, with TLS or without.
struct Server {
    address: SocketAddr,
    /// The authority that its certificate is signed by, as PEM.
    authority: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(tls_protocols: Option<&[&str]>) -> Self {
        let (acceptor, authority) = certified(tls_protocols.unwrap_or_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let with_tls = tls_protocols.is_some();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    if with_tls {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                    } else {
                        let _ = http.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
                    }
                });
            }
        });
        Self { address, authority, connections }
    }

    /// A file that holds the authority. Its name is this server's alone, whoever else runs these tests.
    fn authority_file(&self) -> String {
        let name = format!("authority-of-port-{}.pem", self.address.port());
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&file, &self.authority).unwrap();
        file.into_os_string().into_string().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

type Events = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

async fn answer(request: http::Request<hyper::body::Incoming>) -> Result<http::Response<Events>, Infallible> {
    let event = format!("data: {:?}\n\n", request.version());
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(event)))]);
    let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
    let response = http::Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(StreamBody::new(Box::pin(body) as _)).unwrap())
}

/// A certificate for localhost by an authority made for this test.
fn certified(protocols: &[&str]) -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate =
        CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), root.pem())
}

#[tokio::test]
async fn tls_trusts_an_added_authority_and_uses_the_protocol_that_the_server_prefers() {
    for (protocols, expected) in
        [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"][..], "HTTP/1.1"), (&[][..], "HTTP/1.1")]
    {
        let server = Server::start(Some(protocols)).await;
        let http = Http::new().root_certificate(server.authority.as_bytes()).unwrap();
        let connection = source(server.url("/events")).transport(http);
        assert_eq!(data(&mut connection.select("message")).await, expected);
    }
}

#[tokio::test]
async fn tls_trusts_nobody_else_and_does_not_ask_again() {
    let server = Server::start(Some(&[])).await;
    for (number, url) in
        [server.url("/"), format!("https://127.0.0.1:{}/", server.address.port())].iter().enumerate()
    {
        let other = Server::start(Some(&[])).await.authority;
        let trusted = if url.contains("localhost") { &other } else { &server.authority };
        let http = Http::new().root_certificate(trusted.as_bytes()).unwrap();
        let connection = source(url).transport(http).reconnect(eager());
        let error = last_error(&mut connection.select("message")).await;
        let Error::Certificate { source: reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.to_string().contains("certificate"), "{reason}");
        assert_eq!(server.connections.load(Ordering::Relaxed), number + 1, "one attempt");
    }
}

#[test]
fn a_text_without_a_certificate_is_refused() {
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        assert!(Http::new().root_certificate(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[tokio::test]
async fn http_2_prior_knowledge_uses_one_connection_for_many_sources() {
    let server = Server::start(None).await;
    let http = Http::new().http2_prior_knowledge();
    let url = |path| format!("http://{}/{path}", server.address);
    let mut streams: Vec<_> =
        (0..10).map(|path| source(url(path)).transport(http.clone()).select("message")).collect();
    for stream in &mut streams {
        assert_eq!(data(stream).await, "HTTP/2.0");
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    drop(streams.split_off(1));
    assert!(futures_util::FutureExt::now_or_never(streams[0].next()).is_none(), "the others are not touched");
}

/// Runs [`listener_of_another_process`] with these settings; gives the data of its first event.
async fn in_another_process(url: &str, settings: &[(&str, &str)]) -> String {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tls::listener_of_another_process", "--ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env("TEST_URL", url).envs(settings.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = soon("the other process", command.output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event").to_owned()
}

#[tokio::test]
#[ignore = "in_another_process runs it, since it needs an environment of its own"]
#[allow(clippy::print_stdout)]
async fn listener_of_another_process() {
    let connection = source(std::env::var("TEST_URL").unwrap()).reconnect(Reconnect::never());
    let mut messages = connection.select("message");
    match messages.next().await {
        Some(Ok(message)) => println!("\ndata: {}", message.data()),
        Some(Err(SelectError::Closed(error))) => {
            println!("\ndata: {}", SelectError::Closed(error));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_proxy_is_taken_from_the_environment() {
    let proxy = Peer::start([Answer::events("data: by proxy\n\n").then_stay()]).await;
    let event =
        in_another_process("http://elsewhere.invalid/events", &[("HTTP_PROXY", &proxy.url(""))]).await;
    assert_eq!(event, "by proxy");
    assert_eq!(proxy.request(0).await.path, "http://elsewhere.invalid/events");

    let direct = Peer::start([Answer::events("data: direct\n\n").then_stay()]).await;
    let settings = [("HTTP_PROXY", proxy.url("")), ("NO_PROXY", "127.0.0.1".to_owned())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(in_another_process(&direct.url("/"), &settings).await, "direct");
}

#[tokio::test]
async fn an_error_names_the_proxy_and_not_its_password() {
    let gone = Peer::start([]).await.kill().await;
    let through = |what: &str| format!("through the proxy http://{gone}: {what}");
    for (variable, url) in
        [("HTTP_PROXY", "http://a.invalid/x?secret"), ("HTTPS_PROXY", "https://a.invalid/")]
    {
        let text = in_another_process(url, &[(variable, &format!("http://user:secret@{gone}"))]).await;
        assert!(text.contains(&through("")) && text.contains("refused"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    let proxy = Peer::start([Answer::refuse(), Answer::events("").then_break()]).await;
    for expected in ["the server closed the connection without a response", "the server cut the stream"] {
        let text = in_another_process("http://a.invalid/", &[("HTTP_PROXY", &proxy.url(""))]).await;
        let expected = format!("through the proxy http://{}: {expected}", proxy.address());
        assert!(text.ends_with(&expected), "{text}");
    }
}

/// A proxy that connects to the requested host; returns the head of the first request.
async fn tunnel() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let head = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap();
        let mut server = TcpStream::connect(target.replace("localhost", "127.0.0.1")).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        head
    });
    (address, head)
}

#[tokio::test]
async fn tls_goes_through_a_proxy_that_requires_credentials() {
    let server = Server::start(Some(&["h2"])).await;
    let (proxy, head) = tunnel().await;
    let file = server.authority_file();
    let settings = [("HTTPS_PROXY", format!("http://user:secret@{proxy}")), ("SSL_CERT_FILE", file.clone())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(in_another_process(&server.url("/"), &settings).await, "HTTP/2.0");
    std::fs::remove_file(file).unwrap();
    let head = soon("the request to the proxy", head).await.unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{} ", server.address.port())), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{head}");
}

#[tokio::test]
async fn the_roots_of_the_system_can_be_replaced_by_the_environment() {
    let server = Server::start(Some(&[])).await;
    let file = server.authority_file();
    let event = in_another_process(&server.url("/"), &[("SSL_CERT_FILE", &file)]).await;
    assert_eq!(event, "HTTP/1.1");
    std::fs::remove_file(file).unwrap();
}
