use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};
use ssekit_server::watch_peer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::http::{self, Protocol, Server};
use crate::systemd;
use crate::tls::Tls;

/// What is listened on, before anybody is served.
pub(super) struct Listeners {
    tcp: Vec<TcpListener>,
    #[cfg(unix)]
    unix: Vec<(std::os::unix::net::UnixListener, Option<OwnPath>)>,
}

/// What is served on, until it is closed.
pub(super) struct Opened {
    /// The addresses.
    pub(super) local: Vec<SocketAddr>,
    plain: Option<http::Opened>,
    tasks: JoinSet<()>,
    #[cfg(unix)]
    _paths: Vec<OwnPath>,
}

impl Listeners {
    /// Takes the sockets that a service manager has opened, or listens on all that the configuration names.
    pub(super) fn bind(config: &Config) -> Result<Self> {
        let given =
            systemd::sockets().context("the sockets that the service manager has opened cannot be used")?;
        if !given.is_empty() {
            for socket in &given.tcp {
                prepare(&Socket::from(socket.try_clone()?), config);
            }
            return Ok(Self {
                tcp: given.tcp,
                #[cfg(unix)]
                unix: given.unix.into_iter().map(|socket| (socket, None)).collect(),
            });
        }
        let tcp = config.addr.iter().map(|addr| bind(addr, config)).collect::<Result<_>>()?;
        Ok(Self {
            tcp,
            #[cfg(unix)]
            unix: config.unix.iter().map(|path| bind_unix(path, config.unix_mode)).collect::<Result<_>>()?,
        })
    }

    /// Serves whoever connects.
    pub(super) fn serve(self, config: &Config, server: &Arc<Server>) -> Result<Opened> {
        let local = self.tcp.iter().map(TcpListener::local_addr).collect::<Result<_, _>>();
        let local = local.context("a listener has no address")?;
        let mut tasks = JoinSet::new();
        let plain = match (&config.tls.cert, &config.tls.key) {
            (Some(cert), Some(key)) => {
                let tls = Tls::open(cert, key)?;
                let acceptor = TlsAcceptor::from(tls.config());
                tasks.spawn(tls.keep_current());
                for socket in self.tcp {
                    socket.set_nonblocking(true)?;
                    let socket = tokio::net::TcpListener::from_std(socket)?;
                    tasks.spawn(accept_tls(
                        socket,
                        acceptor.clone(),
                        Arc::clone(server),
                        config.limits.head_time,
                    ));
                }
                None
            }
            _ => Some(server.open(self.tcp).context("connections cannot be accepted")?),
        };
        #[cfg(unix)]
        let mut paths = Vec::new();
        #[cfg(unix)]
        for (socket, path) in self.unix {
            socket.set_nonblocking(true)?;
            let socket = tokio::net::UnixListener::from_std(socket)?;
            tasks.spawn(accept_unix(socket, Arc::clone(server)));
            paths.extend(path);
        }
        Ok(Opened {
            local,
            plain,
            tasks,
            #[cfg(unix)]
            _paths: paths,
        })
    }
}

impl Opened {
    /// Accepts nobody any more.
    pub(super) fn close(mut self) {
        if let Some(plain) = self.plain.take() {
            plain.close();
        }
        self.tasks.abort_all();
    }
}

/// Encrypted bytes that a connection may hold until its socket takes them: one record (RFC 8446, section 5.1).
const UNSENT: usize = 16 << 10;

async fn accept_tls(
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
    server: Arc<Server>,
    patience: Duration,
) {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                server.not_accepted(&error).await;
                continue;
            }
        };
        // Who cannot be served is not told before the handshake: it is closed, and comes back.
        let Some(place) = server.admit(Some(peer.ip())) else { continue };
        let (tls, server) = (tls.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            match tokio::time::timeout(patience, tls.accept(socket)).await {
                Ok(Ok(mut socket)) => {
                    socket.get_mut().1.set_buffer_limit(Some(UNSENT));
                    let protocol = Protocol::agreed(socket.get_ref().1.alpn_protocol());
                    server.serve(socket, protocol, place).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS came about"),
                Err(_) => tracing::debug!(%peer, "no TLS came about in time"),
            }
        });
    }
}

#[cfg(unix)]
async fn accept_unix(listener: tokio::net::UnixListener, server: Arc<Server>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let Some(place) = server.admit(None) else { continue };
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.serve(socket, Protocol::Http1, place).await });
            }
            Err(error) => server.not_accepted(&error).await,
        }
    }
}

/// A socket's path that is ours: removed at the end.
#[cfg(unix)]
struct OwnPath(PathBuf);

#[cfg(unix)]
impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(unix)]
fn bind_unix(path: &Path, mode: u32) -> Result<(std::os::unix::net::UnixListener, Option<OwnPath>)> {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    // What a program left that was killed: nobody listens there.
    if path.exists()
        && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)
            .with_context(|| format!("the old socket {} cannot be removed", path.display()))?;
    }
    let socket = UnixListener::bind(path).with_context(|| {
        format!(
            "cannot listen on {}: its folder must be there and writable, and nobody else may listen there",
            path.display()
        )
    })?;
    let own = OwnPath(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("the permissions of {} cannot be set", path.display()))?;
    Ok((socket, Some(own)))
}

fn bind(addr: &str, config: &Config) -> Result<TcpListener> {
    let error = match addr.to_socket_addrs().and_then(|mut found| {
        let found = found.next().ok_or_else(|| std::io::Error::from(ErrorKind::AddrNotAvailable))?;
        listen(found, config)
    }) {
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

fn listen(addr: SocketAddr, config: &Config) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A program that has just ended leaves connections that would keep the address taken.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    prepare(&socket, config);
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// What is set on a listener holds for all that it accepts.
fn prepare(socket: &Socket, config: &Config) {
    // Each event leaves when it is written, not when the one before has been acknowledged.
    let set = socket.set_tcp_nodelay(true).and_then(|()| watch_peer(socket, config.peer_timeout));
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let set = set.and_then(|()| {
        // The system takes no more for a peer before it has sent that: what waits longer, waits in the log.
        socket.set_tcp_notsent_lowat(u32::try_from(config.limits.pending).unwrap_or(u32::MAX))
    });
    if let Err(error) = set {
        tracing::warn!(%error, "a peer that vanishes will be noticed late");
    }
}
