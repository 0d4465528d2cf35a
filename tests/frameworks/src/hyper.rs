use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ssekit::{LastEventId, SseBody};
use tower::{Layer as _, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// hyper, with tower's middleware.
#[derive(Debug)]
pub struct Hyper;

impl Framework for Hyper {
    const KNOWN: Known = Known {
        departure: Departure::AtOnce,
        stall: Stall::StallTimeout,
        failure: End::Cut,
        compression: Compression::LeftAlone,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let listener = bound.tokio_listener();
        let connections = GracefulShutdown::new();
        let streams = app.streams.clone();
        let mut stop = Box::pin(stop.requested());
        loop {
            let (socket, _) = tokio::select! {
                accepted = listener.accept() => accepted.expect("a connection"),
                () = &mut stop => break,
            };
            let app = app.clone();
            let plain = service_fn(move |request| {
                let answer = answer(&app, &request);
                async { Ok::<_, Infallible>(answer) }
            });
            let compressed =
                tower::ServiceBuilder::new().layer(CompressionLayer::new()).service(plain.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (plain, compressed) = (plain.clone(), compressed.clone());
                async move {
                    match request.uri().path().starts_with("/compressed/") {
                        true => compressed.oneshot(request).await.map(|response| response.map(Either::Left)),
                        false => plain.oneshot(request).await.map(|response| response.map(Either::Right)),
                    }
                }
            });
            let service = streams.layer(service);
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
            tokio::spawn(connections.watch(connection));
        }
        drop(listener);
        connections.shutdown().await;
    }
}

fn answer(app: &App, request: &Request<Incoming>) -> Response<Either<SseBody, Full<Bytes>>> {
    let route = request.uri().path().rsplit('/').next().unwrap_or_default();
    match LastEventId::from_request(request) {
        Ok(last) => app.answer(route, last).response().map(Either::Left),
        Err(error) => {
            let mut response = Response::new(Either::Right(Full::from(error.to_string())));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}
