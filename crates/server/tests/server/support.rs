//! Servers that answer every request with one stream, and a client that reads the bytes of the connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ssekit_server::{Emitter, Produce, StopReason, produce, watch_peer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

pub(crate) use crate::within::within;

/// A listener whose connections hold little in the system's buffers.
pub(crate) fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(16 << 10).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(64).unwrap()
}

/// A server that answers every request with a stream of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// hyper itself, HTTP/1.
    Hyper,
    /// axum, as `axum::serve` runs it.
    Axum,
    /// hyper, which gives up a peer that has vanished after four seconds.
    Watched,
}

impl Server {
    pub(crate) const ALL: [Self; 2] = [Self::Hyper, Self::Axum];

    pub(crate) fn run(self, answer: impl Fn() -> Produce + Clone + Send + Sync + 'static) -> SocketAddr {
        match self {
            Self::Hyper => hyper(answer, |_| {}),
            Self::Watched => hyper(answer, |socket| watch_peer(socket, Duration::from_secs(4)).unwrap()),
            Self::Axum => serve(axum::Router::new().fallback(move || async move { answer() })),
        }
    }
}

fn hyper(
    answer: impl Fn() -> Produce + Clone + Send + Sync + 'static,
    accepted: fn(&TcpStream),
) -> SocketAddr {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            accepted(&socket);
            let answer = answer.clone();
            let service = service_fn(move |_| {
                let response = answer().response();
                async { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
            );
        }
    });
    addr
}

pub(crate) fn serve(router: axum::Router) -> SocketAddr {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// A stream without events that stays open until its client leaves.
pub(crate) fn quiet() -> Produce {
    produce(|stream| move || drop(stream))
}

/// One stream: its client, its emitter, and how it ends.
pub(crate) struct Stream {
    pub(crate) client: Client,
    pub(crate) emitter: Emitter,
    pub(crate) stop: mpsc::Receiver<StopReason>,
}

impl Stream {
    pub(crate) async fn open(
        server: Server,
        options: impl Fn(Produce) -> Produce + Clone + Send + Sync + 'static,
    ) -> Self {
        let (started, mut starts) = mpsc::channel(1);
        let (stopped, stop) = mpsc::channel(8);
        let addr = server.run(move || {
            let started = started.clone();
            let produce = produce(move |stream: Emitter| started.try_send(stream).expect("one stream"));
            options(produce).on_stop(reporting(stopped.clone()))
        });
        let client = Client::get(addr).await;
        let emitter = within(starts.recv()).await.expect("start runs");
        Self { client, emitter, stop }
    }

    /// The reason, when `on_stop` has run.
    pub(crate) async fn stopped(&mut self) -> StopReason {
        within(self.stop.recv()).await.expect("on_stop runs")
    }
}

/// An `on_stop` that reports the reason.
pub(crate) fn reporting(
    stopped: mpsc::Sender<StopReason>,
) -> impl FnOnce(StopReason) -> std::future::Ready<()> + Send + 'static {
    move |reason| {
        // A test that has ended no longer listens.
        drop(stopped.try_send(reason));
        std::future::ready(())
    }
}

/// A client that shows chunks as they come, and reads nothing that it was not asked for.
pub(crate) struct Client {
    pub(crate) head: String,
    socket: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn get(addr: SocketAddr) -> Self {
        Self::request(addr, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await
    }

    pub(crate) async fn request(addr: SocketAddr, request: &[u8]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let mut socket = within(socket.connect(addr)).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut socket = BufReader::with_capacity(4 << 10, socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(within(socket.read_line(&mut head)).await.unwrap() > 0, "no complete head: {head:?}");
        }
        Self { head, socket }
    }

    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The next chunk; `None` when the body has come to its proper end.
    pub(crate) async fn try_chunk(&mut self) -> std::io::Result<Option<String>> {
        let mut size = String::new();
        within(self.socket.read_line(&mut size)).await?;
        if size.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        within(self.socket.read_exact(&mut chunk)).await?;
        assert_eq!(chunk.split_off(size), b"\r\n");
        Ok((size > 0).then(|| String::from_utf8(chunk).unwrap()))
    }

    pub(crate) async fn chunk(&mut self) -> String {
        self.try_chunk().await.unwrap().expect("the stream has not ended")
    }

    /// Reads to the body's proper end.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(chunk) = self.try_chunk().await.unwrap() {
            rest.push_str(&chunk);
        }
        rest
    }

    /// Reads until the response is cut.
    pub(crate) async fn rest_until_cut(&mut self) -> String {
        let mut rest = String::new();
        loop {
            match self.try_chunk().await {
                Ok(Some(chunk)) => rest.push_str(&chunk),
                Ok(None) => panic!("the response looks complete after {rest:?}"),
                Err(_) => return rest,
            }
        }
    }

    /// Reads at least this many bytes.
    pub(crate) async fn at_least(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            text.push_str(&self.chunk().await);
        }
        text
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        self.socket.get_ref()
    }

    /// Closes the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Tells whether a value was dropped, as `start`'s future is.
pub(crate) fn dropped() -> (impl Send + 'static, oneshot::Receiver<Infallible>) {
    let (guard, dropped) = oneshot::channel();
    (guard, dropped)
}
