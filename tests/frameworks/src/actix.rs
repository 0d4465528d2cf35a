use std::time::Duration;

use actix_web::middleware::Compress;
use actix_web::rt::net::TcpStream;
use actix_web::{App as Routes, HttpServer, web};
use ssekit::{LastEventId, Produce, watch_peer};

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// actix-web.
#[derive(Debug)]
pub struct ActixWeb;

const WATCHED: u64 = 4;

impl Framework for ActixWeb {
    const KNOWN: Known = Known {
        departure: Departure::AtOnce,
        // It copies the bytes that it is given.
        stall: Stall::WatchPeer(WATCHED),
        failure: End::Cut,
        compression: Compression::LeftAlone,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let server = HttpServer::new(move || {
            Routes::new()
                .wrap(app.streams.clone())
                .app_data(web::Data::new(app.clone()))
                .service(
                    web::scope("/compressed")
                        .wrap(Compress::default())
                        .route("/{route}", web::get().to(answer)),
                )
                .route("/{route}", web::get().to(answer))
        });
        let server = server
            .on_connect(|socket, _| {
                let socket = socket.downcast_ref::<TcpStream>().expect("a TCP connection");
                watch_peer(socket, Duration::from_secs(WATCHED)).expect("it can be watched");
            })
            // Otherwise a client that is gone is one that has nothing more to say, until a ping is written.
            .h1_allow_half_closed(false)
            .workers(1)
            .shutdown_signal(stop.requested())
            .listen(bound.listener())
            .expect("it listens");
        server.run().await.expect("it serves");
    }
}

async fn answer(app: web::Data<App>, route: web::Path<String>, last: LastEventId) -> Produce {
    app.answer(&route, last)
}
