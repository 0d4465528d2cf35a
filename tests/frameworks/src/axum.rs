use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use ssekit::{LastEventId, Produce};
use tower_http::compression::CompressionLayer;

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// axum.
#[derive(Debug)]
pub struct Axum;

impl Framework for Axum {
    const KNOWN: Known = Known {
        departure: Departure::AtOnce,
        stall: Stall::StallTimeout,
        failure: End::Cut,
        compression: Compression::LeftAlone,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let routes = Router::new().route("/{route}", get(answer));
        let compressed = routes.clone().layer(CompressionLayer::new());
        let routes = routes.nest("/compressed", compressed).layer(app.streams.clone()).with_state(app);
        let server = axum::serve(bound.tokio_listener(), routes);
        server.with_graceful_shutdown(stop.requested()).await.expect("it serves");
    }
}

async fn answer(State(app): State<App>, Path(route): Path<String>, last: LastEventId) -> Produce {
    app.answer(&route, last)
}
