//! Connects to a server, or to the proxy that the environment sets before it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::BoxError;

/// Connects a request, below its TLS: by TCP to the server, or through a proxy.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    proxies: Arc<Matcher>,
    tcp: HttpConnector,
    /// A proxy may itself be reached by TLS.
    to_proxy: HttpsConnector<HttpConnector>,
}

/// A byte stream to the server, or to a proxy that passes requests on.
#[derive(Debug)]
pub(super) struct Link {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// Requests are written for a proxy to read, with the whole URL (RFC 9112, 3.2.2).
    is_proxied: bool,
}

impl Connector {
    pub(super) fn new(tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A dead peer is found within a minute, on a quiet stream too, and without a byte of the protocol.
        tcp.set_keepalive(Some(Duration::from_secs(15)));
        tcp.set_keepalive_interval(Some(Duration::from_secs(15)));
        tcp.set_keepalive_retries(Some(3));
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp.clone());
        Self { proxies: Arc::new(Matcher::from_system()), tcp, to_proxy }
    }

    /// The proxy for this request, if there is one, as messages name it: without user and password.
    pub(super) fn proxy_name(&self, target: &Uri) -> Option<String> {
        let proxy = self.proxies.intercept(target)?;
        let uri = proxy.uri();
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default()))
    }

    /// The credentials for a proxy that forwards this request.
    pub(super) fn proxy_authorization(&self, target: &Uri) -> Option<HeaderValue> {
        let is_passed_on = target.scheme_str() == Some("http");
        self.proxies.intercept(target).filter(|_| is_passed_on)?.basic_auth().cloned()
    }
}

impl Service<Uri> for Connector {
    type Response = Link;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&target) else {
            let connecting = self.tcp.call(target);
            return Box::pin(async move { Ok(Link::direct(MaybeHttpsStream::Http(connecting.await?))) });
        };
        let uri = proxy.uri().clone();
        let login = proxy.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
        match uri.scheme_str() {
            Some("socks4" | "socks4a") => {
                let local_dns = uri.scheme_str() == Some("socks4");
                let connecting = SocksV4::new(uri, self.tcp.clone()).local_dns(local_dns).call(target);
                Box::pin(async move { Ok(Link::direct(MaybeHttpsStream::Http(connecting.await?))) })
            }
            Some("socks5" | "socks5h") => {
                let local_dns = uri.scheme_str() == Some("socks5");
                let mut socks = SocksV5::new(uri, self.tcp.clone()).local_dns(local_dns);
                if let Some((user, password)) = login {
                    socks = socks.with_auth(user, password);
                }
                let connecting = socks.call(target);
                Box::pin(async move { Ok(Link::direct(MaybeHttpsStream::Http(connecting.await?))) })
            }
            _ if target.scheme_str() == Some("https") => {
                let mut tunnel = Tunnel::new(uri, self.to_proxy.clone());
                if let Some(login) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(login.clone());
                }
                let connecting = tunnel.call(target);
                Box::pin(async move { Ok(Link::direct(connecting.await?)) })
            }
            _ => {
                let connecting = self.to_proxy.call(uri);
                Box::pin(async move { Ok(Link { stream: connecting.await?, is_proxied: true }) })
            }
        }
    }
}

impl Link {
    fn direct(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Self {
        Self { stream, is_proxied: false }
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxied)
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
