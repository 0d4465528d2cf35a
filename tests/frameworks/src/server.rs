use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::panic::Location;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use ssekit::{Emitter, Produce, StopReason, produce};
use tokio::sync::{mpsc, oneshot};

use crate::{App, Client, Framework};

/// Waits for a future, and fails if it takes too long.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match tokio::time::timeout(Duration::from_secs(30), future).await {
            Ok(output) => output,
            Err(_) => panic!("the future at {caller} did not complete within 30 s"),
        }
    }
}

/// A running server, in a thread with a runtime of its own.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

impl Server {
    /// Starts a framework's server with this application.
    pub async fn start<F: Framework>(app: App) -> Self {
        let (bound, address) = oneshot::channel();
        let (stop, stop_request) = oneshot::channel();
        let (done, stopped) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(F::serve(app, Bound(bound), Stop(stop_request)));
            // The test may have ended without stopping it.
            let _ = done.send(());
        });
        let address = within(address).await.expect("the server says where it listens");
        Self { address, stop, stopped }
    }

    /// Stops it gracefully, and waits until it has.
    pub async fn stop(self) {
        // It may have stopped already, which shows in the next line.
        let _ = self.stop.send(());
        within(self.stopped).await.expect("the server stops without a panic");
    }
}

/// Reports the address of a server.
#[derive(Debug)]
pub struct Bound(oneshot::Sender<SocketAddr>);

impl Bound {
    /// Sends the address to the test.
    pub fn announce(self, address: SocketAddr) {
        self.0.send(address).expect("the test waits for it");
    }

    /// A listener whose connections hold little in the system's buffers, so that tests need not fill large
    /// ones.
    #[must_use]
    pub fn listener(self) -> TcpListener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_send_buffer_size(16 << 10).expect("a small buffer");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        socket.listen(128).expect("it listens");
        socket.set_nonblocking(true).expect("it does not block");
        let listener = TcpListener::from(socket);
        self.announce(listener.local_addr().expect("it has an address"));
        listener
    }

    /// The same, for tokio.
    #[must_use]
    pub fn tokio_listener(self) -> tokio::net::TcpListener {
        tokio::net::TcpListener::from_std(self.listener()).expect("a listener that does not block")
    }
}

/// The request to stop a server.
#[derive(Debug)]
pub struct Stop(oneshot::Receiver<()>);

impl Stop {
    /// Waits for it.
    pub async fn requested(self) {
        // A test that has failed is gone, and says nothing.
        let _ = self.0.await;
    }
}

/// A server with one stream on it: its client, its emitter, and how it ends.
#[derive(Debug)]
pub struct Stream {
    /// Its reader.
    pub client: Client,
    /// Its emitter.
    pub emitter: Emitter,
    /// Why it has stopped, each time that it does.
    pub stops: mpsc::Receiver<StopReason>,
    /// Its server.
    pub server: Server,
}

impl Stream {
    /// Opens a stream that somebody else emits into.
    pub async fn open<F: Framework>(
        options: impl Fn(Produce) -> Produce + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::open_at::<F>("/stream", "", options).await
    }

    /// The same, at this path and with these lines in the request's head.
    pub async fn open_at<F: Framework>(
        path: &str,
        headers: &str,
        options: impl Fn(Produce) -> Produce + Clone + Send + Sync + 'static,
    ) -> Self {
        let (started, mut starts) = mpsc::channel(8);
        let (stopped, stops) = mpsc::channel(8);
        let app = App::new(move |_, _| {
            let (started, stopped) = (started.clone(), stopped.clone());
            options(produce(move |stream| started.try_send(stream).expect("few streams"))).on_stop(
                move |reason| async move {
                    stopped.try_send(reason).expect("few stops");
                },
            )
        });
        let server = Server::start::<F>(app).await;
        let client = Client::request(server.address, path, headers).await;
        let emitter = within(starts.recv()).await.expect("the stream starts");
        Self { client, emitter, stops, server }
    }

    /// Waits for the one end of the stream.
    pub async fn stopped(&mut self) -> StopReason {
        let reason = within(self.stops.recv()).await.expect("on_stop runs");
        assert!(self.stops.try_recv().is_err(), "on_stop ran twice");
        reason
    }
}
