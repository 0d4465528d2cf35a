//! `ssekit serve`: an HTTP server that ends at once when it is told to.

mod host;

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ssekit_server::watch_peer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::host::ours_alone;
use crate::demo::Demo;

/// How many connections are served at once; more wait until one ends.
const MAX_CONNECTIONS: usize = 512;
/// The largest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long a client may take to send a request's head, also after the request before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After how long without any sign a peer is taken for gone: asleep, unplugged, out of reach.
const VANISHED: Duration = Duration::from_secs(60);
/// How long connections that do not read may hold up the end.
const GRACE: Duration = Duration::from_millis(500);

/// Where to listen.
#[derive(Clone, Debug, clap::Args)]
pub struct Address {
    /// The address and port to listen on; port 0 takes any free one
    #[arg(long, env = "SSEKIT_ADDR", default_value = "127.0.0.1:3000", value_name = "HOST:PORT")]
    pub addr: String,
}

/// Serves the demo until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn demo(address: &Address, out: &mut impl Write) -> Result<()> {
    let listener = listen(&address.addr).await?;
    let local = listener.local_addr().context("the listener has no address")?;
    // Ready before anyone is told where to look, so that no signal from then on is missed.
    let mut stop = pin!(told_to_stop()?);
    let demo = Demo::new();
    let router = demo.router().layer(from_fn_with_state(address.addr.clone(), ours_alone));
    let connections = GracefulShutdown::new();
    announce(local, out).context("cannot say where to look")?;

    tokio::select! {
        ended = demo.run() => ended.context("the demo cannot go on")?,
        () = accept(&listener, &router, &connections) => {}
        () = &mut stop => {}
    }
    drop(listener);
    demo.close();
    // Whoever does not read the end of their stream cannot keep us from leaving.
    let _ = timeout(GRACE, connections.shutdown()).await;
    Ok(())
}

async fn listen(addr: &str) -> Result<TcpListener> {
    let error = match TcpListener::bind(addr).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let port = addr.rsplit(':').next().unwrap_or(addr);
    match error.kind() {
        ErrorKind::AddrInUse => bail!(
            "{addr} is taken: another program listens there (`ss -ltnp 'sport = :{port}'` or `lsof -i :{port}` names \
             it). Stop it, or take a free port with --addr 127.0.0.1:0"
        ),
        ErrorKind::PermissionDenied => bail!(
            "{addr} is not allowed: ports below 1024 need a privilege. Take another one, such as --addr 127.0.0.1:3000"
        ),
        _ => {
            let help =
                format!("cannot listen on {addr}: it must be HOST:PORT with an address of this machine");
            Err(error).context(help)
        }
    }
}

/// Says where to look, and hands that on at once: scripts wait for it.
fn announce(local: SocketAddr, out: &mut impl Write) -> std::io::Result<()> {
    // Whoever listens everywhere is reached here too.
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}", SocketAddr::new(ip, local.port()));
    let program = std::env::args().next().unwrap_or_else(|| "ssekit".to_owned());
    writeln!(out, "ssekit shows this machine on {local}; Ctrl-C stops it\n")?;
    writeln!(out, "  the page         {url}/")?;
    writeln!(out, "  the raw stream   curl -N {url}/stats")?;
    writeln!(out, "  our own client   {program} listen {url}/events")?;
    out.flush()
}

async fn accept(listener: &TcpListener, router: &Router, connections: &GracefulShutdown) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                // Out of file descriptors, most likely: asking again at once would only keep the processor busy.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Each event leaves when it is written, not when the one before has been acknowledged.
        let set = socket.set_nodelay(true).and_then(|()| watch_peer(&socket, VANISHED));
        if let Err(error) = set {
            warn!(%error, "a peer that vanishes will be noticed late");
        }
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router.clone()));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
}

/// Ends with the first Ctrl-C or SIGTERM from now on.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let (mut interrupt, mut terminate) = {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("cannot listen for signals");
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::*;

    // The clock stands still but for what is waited for, and goes on at once when nothing else is to be done.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_finish_its_requests_head_is_ended() {
        let listener = listen("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let connections = GracefulShutdown::new();
        let client = async {
            let mut socket = TcpStream::connect(addr).await.expect("the server accepts");
            // The first request shows that the connection is served.
            let (whole, half) = ("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "GET / HTTP/1.1\r\nhost: loc");
            socket.write_all(whole.as_bytes()).await.expect("the server reads");
            let read = socket.read(&mut [0; 4096]).await.expect("the server answers");
            assert_ne!(read, 0);
            let since = Instant::now();
            socket.write_all(half.as_bytes()).await.expect("the server reads");
            let mut rest = Vec::new();
            let end = timeout(10 * HEAD_TIMEOUT, socket.read_to_end(&mut rest)).await;
            end.expect("the server closes it").expect("it ends cleanly");
            since.elapsed()
        };
        let router = Router::new();
        let elapsed = tokio::select! {
            elapsed = client => elapsed,
            () = accept(&listener, &router, &connections) => unreachable!("it never ends"),
        };
        assert!((HEAD_TIMEOUT / 2..HEAD_TIMEOUT * 2).contains(&elapsed), "{elapsed:?}");
    }
}
