//! Protocols of systemd: passed sockets, and notifications.
//!
//! [`sockets`] returns sockets that systemd has opened before the program began (`sd_listen_fds(3)`): no
//! client is refused while the program is replaced. [`Notify`] reports that the service is ready, stops, and
//! is alive (`sd_notify(3)`). Without passed sockets or a listener, nothing happens.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::time::Duration;

use listenfd::ListenFd;
use socket2::SockRef;
use tracing::warn;

/// Passed sockets, non-blocking for tokio.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Those of `ListenStream=` with an address or a port.
    pub(crate) tcp: Vec<TcpListener>,
    /// Those of `ListenStream=` with a path.
    pub(crate) unix: Vec<UnixListener>,
}

impl Sockets {
    /// Whether no socket was passed.
    pub(crate) fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.unix.is_empty()
    }
}

/// Maximum number of sockets; no unit has more.
const MAX_SOCKETS: usize = 64;

/// Takes the sockets that the environment names (`LISTEN_FDS`, if `LISTEN_PID` is this process).
///
/// A second call finds none.
///
/// # Errors
/// When one of them does not listen, as with `Accept=yes`, or has another type, as with `ListenDatagram=`.
pub(crate) fn sockets() -> io::Result<Sockets> {
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    if count > MAX_SOCKETS {
        let what = format!("LISTEN_FDS={count}: at most {MAX_SOCKETS} sockets are supported");
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    let mut given = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for index in 0..given.len() {
        if let Ok(Some(socket)) = given.take_tcp_listener(index) {
            listens(index, &SockRef::from(&socket))?;
            sockets.tcp.push(socket);
        } else if let Ok(Some(socket)) = given.take_unix_listener(index) {
            listens(index, &SockRef::from(&socket))?;
            sockets.unix.push(socket);
        } else {
            return Err(refused(
                index,
                "is neither a TCP nor a Unix stream socket: configure it with ListenStream=",
            ));
        }
    }
    Ok(sockets)
}

fn listens(index: usize, socket: &SockRef<'_>) -> io::Result<()> {
    if !socket.is_listener()? {
        return Err(refused(index, "is a connection: remove Accept=yes from the socket unit"));
    }
    socket.set_nonblocking(true)
}

fn refused(index: usize, why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("socket {} of LISTEN_FDS {why}", index + 1))
}

/// Reports the state of the service to the service manager.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

/// Variables of the service manager.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `NOTIFY_SOCKET`: address of the notifications.
    pub(crate) notify_socket: Option<OsString>,
    /// `WATCHDOG_USEC`: time in microseconds within which it expects a sign of life.
    pub(crate) watchdog_usec: Option<String>,
    /// `WATCHDOG_PID`: process of which it expects that.
    pub(crate) watchdog_pid: Option<String>,
}

impl Environment {
    /// Reads the variables of this process.
    pub(crate) fn read() -> Self {
        Self {
            notify_socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: std::env::var("WATCHDOG_USEC").ok(),
            watchdog_pid: std::env::var("WATCHDOG_PID").ok(),
        }
    }
}

impl Notify {
    /// Connects to the service manager that the environment names, if it names one.
    ///
    /// # Errors
    /// When its address is invalid.
    pub(crate) fn new(environment: &Environment) -> io::Result<Self> {
        let Some(path) = environment.notify_socket.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = UnixDatagram::unbound()?;
        // A service manager that does not read must not block the program.
        socket.set_nonblocking(true)?;
        let for_us =
            environment.watchdog_pid.as_ref().is_none_or(|pid| *pid == std::process::id().to_string());
        let within = environment.watchdog_usec.as_ref().and_then(|usec| usec.parse().ok());
        let within = within.filter(|usec| for_us && *usec > 0).map(Duration::from_micros);
        // Twice as often as required, as sd_watchdog_enabled(3) advises.
        Ok(Self { to: Some((socket, address(path)?)), watchdog: within.map(|within| within / 2) })
    }

    /// Reports that the service answers requests.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Reports that the service is about to end.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Reports repeatedly that the service is alive, until the future is dropped.
    ///
    /// Without a watchdog, it waits forever.
    pub(crate) async fn keep_alive(&self) {
        let Some(interval) = self.watchdog else { return std::future::pending().await };
        loop {
            self.send("WATCHDOG=1");
            tokio::time::sleep(interval).await;
        }
    }

    fn send(&self, state: &str) {
        let Some((socket, address)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            warn!(%error, state, "cannot notify the service manager");
        }
    }
}

/// Address of a path, or of a name in Linux's abstract namespace, which begins with `@`.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    let bytes = path.as_encoded_bytes();
    match bytes.split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        Some((b'/', _)) => SocketAddr::from_pathname(path),
        _ => {
            let what =
                format!("NOTIFY_SOCKET={}: only absolute paths and @names are supported", path.display());
            Err(io::Error::new(ErrorKind::InvalidInput, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Output, Stdio};

    use super::*;

    /// Notifications so far.
    fn received(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).expect("it can be set");
        let mut buffer = [0; 256];
        let next = || {
            socket
                .recv(&mut buffer)
                .ok()
                .map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    fn listener(name: &str) -> (UnixDatagram, OsString) {
        let path = std::env::temp_dir().join(format!("ssekit-notify-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (UnixDatagram::bind(&path).expect("a socket can be made"), path.into())
    }

    fn environment(path: OsString, usec: &str, pid: Option<u32>) -> Environment {
        Environment {
            notify_socket: Some(path),
            watchdog_usec: Some(usec.to_owned()),
            watchdog_pid: pid.map(|pid| pid.to_string()),
        }
    }

    #[test]
    fn ready_and_stopping_are_sent() {
        let (socket, path) = listener("states");
        let notify = Notify::new(&environment(path.clone(), "", None)).expect("the address is valid");
        notify.ready();
        notify.stopping();
        assert_eq!(received(&socket), ["READY=1", "STOPPING=1"]);
        std::fs::remove_file(path).expect("it is there");
        // The listener is gone, which ends nothing.
        notify.ready();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_socket_gets_notifications() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("ssekit-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("it is short");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket can be made");
        Notify::new(&environment(format!("@{name}").into(), "", None)).expect("the address is valid").ready();
        assert_eq!(received(&socket), ["READY=1"]);
    }

    #[test]
    fn without_a_socket_nothing_is_sent_and_an_invalid_one_is_an_error() {
        for socket in [None, Some(OsString::new())] {
            let environment = Environment { notify_socket: socket, ..Environment::default() };
            Notify::new(&environment).expect("a socket is not required").ready();
        }
        for path in ["relative", "vsock:2:1234"] {
            let error = Notify::new(&environment(path.into(), "", None)).expect_err("it is no path");
            assert!(error.to_string().contains(path), "{error}");
        }
    }

    // The clock is paused, except while the test waits.
    #[tokio::test(start_paused = true)]
    async fn the_watchdog_gets_signs_of_life_of_this_process() {
        let ours = Some(std::process::id());
        for (name, usec, pid, expected) in [
            ("ours", "2000000", ours, 10),
            ("any", "2000000", None, 10),
            ("other", "2000000", Some(1), 0),
            ("never", "0", ours, 0),
            ("odd", "soon", ours, 0),
        ] {
            let (socket, path) = listener(name);
            let notify = Notify::new(&environment(path.clone(), usec, pid)).expect("the address is valid");
            let alive = notify.keep_alive();
            tokio::time::timeout(Duration::from_millis(9_500), alive).await.expect_err("it goes on for ever");
            assert_eq!(received(&socket), vec!["WATCHDOG=1"; expected], "{name}");
            std::fs::remove_file(path).expect("it is there");
        }
    }

    /// Runs [`the_child`] with these as its third and fourth descriptor, as systemd does.
    fn child(third: impl Into<OwnedFd>, fourth: impl Into<OwnedFd>, pid: &str) -> Output {
        let script =
            format!("exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_PID={pid} exec \"$0\" \"$@\"");
        let this = std::env::current_exe().expect("it has a path");
        Command::new("sh")
            .args(["-c", &script])
            .arg(this)
            .args(["--exact", "systemd::tests::the_child", "--ignored", "--nocapture"])
            .stdin(Stdio::from(third.into()))
            .stdout(Stdio::from(fourth.into()))
            .stderr(Stdio::piped())
            .output()
            .expect("a shell is there")
    }

    #[test]
    #[ignore = "the other tests run it, with sockets"]
    #[expect(clippy::print_stderr, reason = "that is its answer")]
    fn the_child() {
        match sockets() {
            Ok(sockets) => {
                let tcp: Vec<_> =
                    sockets.tcp.iter().map(|socket| socket.local_addr().expect("it has one")).collect();
                let unix: Vec<_> =
                    sockets.unix.iter().map(|socket| socket.local_addr().expect("it has one")).collect();
                let again = super::sockets().expect("none is left").is_empty();
                let empty = sockets.is_empty();
                eprintln!("CHILD tcp {tcp:?} unix {} empty {empty} again {again}", unix.len());
                for socket in sockets.tcp {
                    let error = socket.accept().expect_err("no client has connected");
                    eprintln!("CHILD {:?}", error.kind());
                }
            }
            Err(error) => eprintln!("CHILD {error}"),
        }
    }

    fn answer(output: &Output) -> Vec<String> {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        // The test harness writes on the same line.
        text.lines().filter_map(|line| Some(line.split_once("CHILD ")?.1.to_owned())).collect()
    }

    #[test]
    fn passed_sockets_are_taken_once() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = tcp.local_addr().expect("it has one");
        let path = std::env::temp_dir().join(format!("ssekit-given-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let unix = UnixListener::bind(&path).expect("a socket can be made");
        let output = child(
            tcp.try_clone().expect("a descriptor is free"),
            unix.try_clone().expect("a descriptor is free"),
            "$$",
        );
        let taken = format!("tcp [{addr}] unix 1 empty false again true");
        assert_eq!(answer(&output), [&*taken, "WouldBlock"]);
        // The sockets are for another process.
        assert_eq!(answer(&child(tcp, unix, "1")), ["tcp [] unix 0 empty true again true"]);
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn a_socket_that_does_not_listen_is_an_error_with_a_remedy() {
        let tcp = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (connection, _other) = UnixStream::pair().expect("a pair can be made");
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let accepted = "socket 2 of LISTEN_FDS is a connection: remove Accept=yes from the socket unit";
        assert_eq!(answer(&child(tcp(), connection, "$$")), [accepted]);
        let other = "socket 1 of LISTEN_FDS is neither a TCP nor a Unix stream socket: configure it with \
                     ListenStream=";
        assert_eq!(answer(&child(datagrams, tcp(), "$$")), [other]);
    }
}
