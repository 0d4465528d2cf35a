//! Listeners: TCP, TLS and Unix sockets of the hub.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use socket2::{Domain, Socket, Type};
use ssekit_hub::http::{self, Protocol, Server};
use ssekit_server::watch_peer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::systemd;
use crate::tls::Tls;

/// Listening sockets, before any connection is accepted.
pub(super) struct Listeners {
    tcp: Vec<TcpListener>,
    /// Certificate of the TCP sockets.
    tls: Option<Tls>,
    #[cfg(unix)]
    unix: Vec<(std::os::unix::net::UnixListener, Option<OwnPath>)>,
}

/// Sockets that are being served, until they are closed.
pub(super) struct Opened {
    /// Their addresses.
    pub(super) local: Vec<SocketAddr>,
    plain: Option<http::Opened>,
    tasks: JoinSet<()>,
    #[cfg(unix)]
    _paths: Vec<OwnPath>,
}

impl Listeners {
    /// Takes the sockets that a service manager passes, or listens on every address of the configuration.
    ///
    /// Reads the certificate first, so that a mistake in it is reported even if an address is in use.
    pub(super) fn bind(config: &Config) -> Result<Self> {
        let tls = match (&config.tls.cert, &config.tls.key) {
            (Some(cert), Some(key)) => Some(Tls::open(cert, key)?),
            _ => None,
        };
        let given = systemd::sockets().context("cannot use the sockets that the service manager opened")?;
        if !given.is_empty() {
            for socket in &given.tcp {
                prepare(&Socket::from(socket.try_clone()?), config);
            }
            return Ok(Self {
                tcp: given.tcp,
                tls,
                #[cfg(unix)]
                unix: given.unix.into_iter().map(|socket| (socket, None)).collect(),
            });
        }
        let tcp = config.addr.iter().map(|addr| bind(addr, config)).collect::<Result<_>>()?;
        Ok(Self {
            tcp,
            tls,
            #[cfg(unix)]
            unix: config.unix.iter().map(|path| bind_unix(path, config.unix_mode)).collect::<Result<_>>()?,
        })
    }

    /// Serves connections.
    pub(super) fn serve(self, config: &Config, server: &Arc<Server>) -> Result<Opened> {
        let local = self.tcp.iter().map(TcpListener::local_addr).collect::<Result<_, _>>();
        let local = local.context("cannot read the address of a listener")?;
        let mut tasks = JoinSet::new();
        let plain = match self.tls {
            Some(tls) => {
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
            None => Some(server.open(self.tcp).context("cannot accept connections")?),
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
    /// Accepts no further connections.
    pub(super) fn close(mut self) {
        if let Some(plain) = self.plain.take() {
            plain.close();
        }
        self.tasks.abort_all();
    }
}

/// Encrypted bytes that a connection may hold until its socket takes them.
///
/// It is one record (RFC 8446, section 5.1).
const UNSENT: usize = 16 << 10;

async fn accept_tls(
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
    server: Arc<Server>,
    handshake_timeout: Duration,
) {
    loop {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                server.not_accepted(&error).await;
                continue;
            }
        };
        // Before the handshake, a client beyond a limit cannot get an answer: it is closed, and returns.
        let Some(lease) = server.lease(Some(peer.ip())) else { continue };
        let (tls, server) = (tls.clone(), Arc::clone(&server));
        tokio::spawn(async move {
            let handshake = tokio::select! {
                handshake = tokio::time::timeout(handshake_timeout, tls.accept(socket)) => handshake,
                () = lease.evicted() => return server.evicted(),
            };
            match handshake {
                Ok(Ok(mut socket)) => {
                    socket.get_mut().1.set_buffer_limit(Some(UNSENT));
                    let protocol = Protocol::agreed(socket.get_ref().1.alpn_protocol());
                    server.serve(socket, protocol, lease).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
            }
        });
    }
}

#[cfg(unix)]
async fn accept_unix(listener: tokio::net::UnixListener, server: Arc<Server>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let Some(lease) = server.lease(None) else { continue };
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.serve(socket, Protocol::Http1, lease).await });
            }
            Err(error) => server.not_accepted(&error).await,
        }
    }
}

/// Path of a socket that this program has created, and removes at the end.
#[cfg(unix)]
struct OwnPath(PathBuf);

#[cfg(unix)]
impl Drop for OwnPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether a program that was killed has left this socket. A file that is no socket refuses connections, too.
#[cfg(unix)]
pub(super) fn is_abandoned(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    use std::os::unix::net::UnixStream;

    let is_socket = path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket());
    is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(unix)]
fn bind_unix(path: &Path, mode: u32) -> Result<(std::os::unix::net::UnixListener, Option<OwnPath>)> {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    if is_abandoned(path) {
        std::fs::remove_file(path)
            .with_context(|| format!("cannot remove the old socket {}", path.display()))?;
    }
    let socket = UnixListener::bind(path).with_context(|| {
        format!(
            "cannot listen on {}: its folder must exist and be writable, and nothing else may have this name",
            path.display()
        )
    })?;
    let own = OwnPath(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the permissions of {}", path.display()))?;
    Ok((socket, Some(own)))
}

fn bind(addr: &str, config: &Config) -> Result<TcpListener> {
    let listen = |socket: Socket| {
        prepare(&socket, config);
        socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    };
    reserve(addr).and_then(listen).map_err(|error| unavailable(addr, error))
}

/// Binds a socket to the address, without listening.
pub(super) fn reserve(addr: &str) -> io::Result<Socket> {
    let addr = addr.to_socket_addrs()?.next().ok_or_else(|| io::Error::from(ErrorKind::AddrNotAvailable))?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(socket2::Protocol::TCP))?;
    // Otherwise, connections of a program that has just ended would keep the address in use.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Describes why the hub cannot listen on an address, and how to fix that.
pub(super) fn unavailable(addr: &str, error: io::Error) -> Error {
    let port = addr.rsplit(':').next().unwrap_or(addr);
    match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{addr} is in use: another program listens there (`ss -ltnp 'sport = :{port}'` or `lsof -i \
             :{port}` names it). Stop it, or use a free port with --addr 127.0.0.1:0"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{addr} is not allowed: ports below 1024 need root or CAP_NET_BIND_SERVICE. Use another \
             port, such as --addr 127.0.0.1:3000"
        ),
        _ => Error::new(error).context(format!(
            "cannot listen on {addr}: it must be HOST:PORT with an address of this machine"
        )),
    }
}

/// Sets options on a listener, which all its connections inherit.
fn prepare(socket: &Socket, config: &Config) {
    // Each event is sent at once, without waiting for the acknowledgement of the one before.
    let set = socket.set_tcp_nodelay(true).and_then(|()| watch_peer(socket, config.peer_timeout));
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let set = set.and_then(|()| {
        // The system takes no more bytes for a peer before it has sent these; further events wait in the log.
        socket.set_tcp_notsent_lowat(u32::try_from(config.limits.pending).unwrap_or(u32::MAX))
    });
    if let Err(error) = set {
        tracing::warn!(%error, "cannot set the TCP options of a listener: lost peers will be noticed late");
    }
}
