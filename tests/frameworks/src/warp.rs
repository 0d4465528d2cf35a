use ssekit::{LastEventId, Produce};
use warp::Filter;

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// warp.
#[derive(Debug)]
pub struct Warp;

impl Framework for Warp {
    const KNOWN: Known = Known {
        departure: Departure::AtOnce,
        stall: Stall::StallTimeout,
        failure: End::Cut,
        compression: Compression::Flushed,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let streams = app.streams.clone();
        let answer = move |route: String, last: Result<LastEventId, _>| -> Result<Produce, _> {
            last.map(|last| app.answer(&route, last))
        };
        let plain = warp::path::param().and(LastEventId::filter()).map(answer);
        let compressed = warp::path("compressed").and(plain.clone()).with(warp::compression::gzip());
        let routes = streams.around(warp::get().and(compressed.or(plain)));
        warp::serve(routes).incoming(bound.tokio_listener()).graceful(stop.requested()).run().await;
    }
}
