//! HTTP to a server on this machine: one request over a plain, TLS or Unix socket, by hand.
//!
//! TLS accepts any certificate. Send no secret this way.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The path that answers whether a hub is ready.
pub(super) const READY: &str = "/readyz";

/// Most bytes of a response that are read.
const MAX_RESPONSE: u64 = 64 << 10;

/// A response.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

pub(super) async fn ask_tcp(addr: SocketAddr) -> io::Result<Answer> {
    ask(TcpStream::connect(addr).await?, &addr.to_string()).await
}

#[cfg(unix)]
pub(super) async fn ask_unix(path: &Path) -> io::Result<Answer> {
    ask(tokio::net::UnixStream::connect(path).await?, "localhost").await
}

pub(super) async fn ask_tls(addr: SocketAddr) -> io::Result<Answer> {
    let provider = Arc::new(default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let socket = TcpStream::connect(addr).await?;
    let name = ServerName::from(addr.ip());
    ask(TlsConnector::from(Arc::new(config)).connect(name, socket).await?, &addr.to_string()).await
}

async fn ask(mut socket: impl AsyncRead + AsyncWrite + Unpin, host: &str) -> io::Result<Answer> {
    let request = format!("GET {READY} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut response = Vec::new();
    let read = socket.take(MAX_RESPONSE).read_to_end(&mut response).await;
    // A peer may close TLS without notice after a whole response.
    parse(&response).map_or_else(|| Err(read.err().unwrap_or_else(no_http)), Ok)
}

fn no_http() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the response is not HTTP")
}

fn parse(response: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(response);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim_end();
    let status = status.split("\r\n").next()?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

/// Accepts any certificate, and checks only that the server has its private key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn status_and_body_are_read_and_other_bytes_are_refused() {
        let answer = parse(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").expect("HTTP");
        assert_eq!((answer.status.as_u16(), &*answer.body), (503, "no"));
        assert_eq!(parse(b"HTTP/1.0 200\r\n\r\n").map(|answer| answer.status.as_u16()), Some(200));
        for text in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 \u{20ac}\r\n\r\n",
            "HTTP/1.1 9\r\n\r\n",
        ] {
            assert!(parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
