use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Makes the system end a connection whose peer has vanished: its machine lost power or its network, so that
/// neither an end nor a reset of the connection ever comes. For accepted TCP sockets, also for HTTP/2 and TLS
/// over them.
///
/// An idle connection is probed by TCP keep-alive after half the time, and ended when the peer has not
/// answered for the whole of it. One with unsent bytes is ended when the peer has acknowledged, or made room
/// for, none of them for as long (`TCP_USER_TIMEOUT`, on Linux and Android only; elsewhere the system's own
/// limit holds, often 15 minutes). The time counts in whole seconds for the probes, at least four.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use axum::serve::ListenerExt;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?.tap_io(|socket| {
///     if let Err(error) = ssekit::watch_peer(socket, Duration::from_secs(60)) {
///         tracing::warn!(%error, "cannot set the TCP options: lost peers will be noticed late");
///     }
/// });
/// # drop(listener);
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the system refuses the setting, as for a socket that is not TCP.
#[cfg(unix)]
pub fn watch_peer(socket: &impl std::os::fd::AsFd, time: Duration) -> io::Result<()> {
    watch(&SockRef::from(socket), time)
}

/// See the documentation for Unix.
#[cfg(windows)]
pub fn watch_peer(socket: &impl std::os::windows::io::AsSocket, time: Duration) -> io::Result<()> {
    watch(&SockRef::from(socket), time)
}

fn watch(socket: &SockRef<'_>, time: Duration) -> io::Result<()> {
    let time = time.max(SHORTEST);
    let probe = time / (2 * PROBES);
    let keepalive = TcpKeepalive::new().with_time(time / 2).with_interval(probe);
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
    let keepalive = keepalive.with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(time))?;
    Ok(())
}

/// Probes without an answer in the second half of the time.
const PROBES: u32 = 2;
/// Half of it in two probes makes a whole second each.
const SHORTEST: Duration = Duration::from_secs(4);
