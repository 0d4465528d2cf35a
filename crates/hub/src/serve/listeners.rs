use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};
use ssekit_server::watch_peer;

use crate::config::Config;
use crate::http::{self, Server};

/// What is listened on, before anybody is served.
pub(super) struct Listeners {
    tcp: Vec<TcpListener>,
}

/// What is served on.
pub(super) struct Opened {
    /// The addresses.
    pub(super) local: Vec<SocketAddr>,
    plain: http::Opened,
}

impl Listeners {
    /// Listens on all that the configuration names.
    pub(super) fn bind(config: &Config) -> Result<Self> {
        let tcp = config.addr.iter().map(|addr| bind(addr, config)).collect::<Result<_>>()?;
        Ok(Self { tcp })
    }

    /// Serves whoever connects.
    pub(super) fn serve(self, _config: &Config, server: &Arc<Server>) -> Result<Opened> {
        let local = self.tcp.iter().map(TcpListener::local_addr).collect::<Result<_, _>>();
        let local = local.context("a listener has no address")?;
        let plain = server.open(self.tcp).context("connections cannot be accepted")?;
        Ok(Opened { local, plain })
    }
}

impl Opened {
    /// Accepts nobody any more.
    pub(super) fn close(self) {
        self.plain.close();
    }
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

/// Listens there. What is set on the listener holds for all that it accepts.
fn listen(addr: SocketAddr, config: &Config) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A program that has just ended leaves connections that would keep the address taken.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    // Each event leaves when it is written, not when the one before has been acknowledged.
    let set = socket.set_tcp_nodelay(true).and_then(|()| watch_peer(&socket, config.peer_timeout));
    if let Err(error) = set {
        tracing::warn!(%error, "a peer that vanishes will be noticed late");
    }
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
