use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use rocket::config::{LogLevel, Shutdown};
use rocket::fairing::AdHoc;
use rocket::{Config, State, get, routes};
use ssekit::server::InvalidLastEventId;
use ssekit::{LastEventId, Produce};

use crate::{App, Bound, Compression, Departure, End, Framework, Known, Stall, Stop};

/// rocket.
#[derive(Debug)]
pub struct Rocket;

impl Framework for Rocket {
    const KNOWN: Known = Known {
        // A task of its own reads the body, and looks at the connection only to hand something on.
        departure: Departure::AtNextWrite,
        stall: Stall::Never,
        failure: End::Complete,
        compression: Compression::None,
    };

    async fn serve(app: App, bound: Bound, stop: Stop) {
        let config = Config {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            log_level: LogLevel::Off,
            shutdown: Shutdown { ctrlc: false, signals: HashSet::new(), ..Shutdown::default() },
            ..Config::release_default()
        };
        let listening = AdHoc::on_liftoff("listening", |rocket| {
            let address = SocketAddr::new(rocket.config().address, rocket.config().port);
            bound.announce(address);
            Box::pin(std::future::ready(()))
        });
        let rocket = rocket::custom(config)
            .attach(app.streams.clone())
            .manage(app)
            .mount("/", routes![answer])
            .attach(listening);
        let rocket = rocket.ignite().await.expect("it ignites");
        let shutdown = rocket.shutdown();
        tokio::spawn(async move {
            stop.requested().await;
            shutdown.notify();
        });
        rocket.launch().await.expect("it serves");
    }
}

#[get("/<route>")]
fn answer(
    app: &State<App>,
    route: &str,
    last: Result<LastEventId, InvalidLastEventId>,
) -> Result<Produce, InvalidLastEventId> {
    last.map(|last| app.answer(route, last))
}
