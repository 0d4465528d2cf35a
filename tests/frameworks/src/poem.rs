use std::io;
use std::time::Duration;

use http::uri::Scheme;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::middleware::Compression as Compress;
use poem::web::{Data, LocalAddr, Path, RemoteAddr};
use poem::{EndpointExt, Route, Server, get, handler};
use ssekit::{LastEventId, Produce, watch_peer};
use tokio::net::TcpStream;

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// poem.
#[derive(Debug)]
pub struct Poem;

impl Framework for Poem {
    const KNOWN: Known = Known {
        // It polls a connection that has ended once more, which then waits for a write.
        departure: Departure::ResetAtOnce,
        // Its connections write one buffer at a time, for which hyper copies.
        stall: Stall::WatchPeer(WATCHED),
        failure: End::Complete,
        compression: Compression::Flushed,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let routes = Route::new()
            .at("/:route", get(answer))
            .at("/compressed/:route", get(answer).with(Compress::new()))
            .with(app.streams.clone())
            .data(app);
        let listener = TcpAcceptor::from_std(bound.listener()).expect("a listener");
        let server = Server::new_with_acceptor(Watched(listener));
        server.run_with_graceful_shutdown(routes, stop.requested(), None).await.expect("it serves");
    }
}

const WATCHED: u64 = 4;

/// A listener whose connections are watched.
struct Watched(TcpAcceptor);

impl Acceptor for Watched {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.0.accept().await?;
        watch_peer(&accepted.0, Duration::from_secs(WATCHED))?;
        Ok(accepted)
    }
}

#[handler]
fn answer(Data(app): Data<&App>, Path(route): Path<String>, last: LastEventId) -> Produce {
    app.answer(&route, last)
}
