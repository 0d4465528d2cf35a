use salvo::compression::Compression as Compress;
use salvo::conn::tcp::TcpAcceptor;
use salvo::{Request, Router, Server, Writer, handler};
use ssekit::{LastEventId, Produce};

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// salvo.
#[derive(Debug)]
pub struct Salvo;

impl Framework for Salvo {
    const KNOWN: Known = Known {
        departure: Departure::AtOnce,
        stall: Stall::StallTimeout,
        failure: End::Cut,
        compression: Compression::LeftAlone,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let streams = app.streams.clone();
        let compressed =
            Router::with_path("compressed/{route}").hoop(Compress::new()).get(Answer(app.clone()));
        let plain = Router::with_path("{route}").get(Answer(app));
        let routes = Router::new().hoop(streams).push(plain).push(compressed);
        let server = Server::new(TcpAcceptor::try_from(bound.tokio_listener()).expect("a listener"));
        let handle = server.handle();
        tokio::spawn(async move {
            stop.requested().await;
            handle.stop_graceful(None);
        });
        server.serve(routes).await;
    }
}

struct Answer(App);

#[handler]
impl Answer {
    async fn handle(&self, request: &mut Request, last: LastEventId) -> Produce {
        self.0.answer(&request.param::<String>("route").unwrap_or_default(), last)
    }
}
