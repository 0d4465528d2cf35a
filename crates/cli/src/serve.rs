//! `ssekit serve`: starts a hub from a configuration, and ends it.

mod announce;
mod check;
mod keys;
mod listeners;
mod parts;

use std::io::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use prometheus_client::registry::Registry;
use ssekit_server::EmitError;

pub(crate) use self::announce::reachable;
pub use self::check::check;
use ssekit_hub::http::{Pages, Server};
use ssekit_hub::hub::Hub;

use self::listeners::Listeners;
use crate::config::Loaded;
use crate::demo::Demo;
use crate::systemd::{Environment, Notify};
use crate::ui::Ui;

/// Maximum time for the end of connections that are no streams.
const GRACE: Duration = Duration::from_millis(500);

/// Serves until Ctrl-C or SIGTERM. The addresses are written to `out`, or logged if logs are JSON.
///
/// # Errors
/// When a file of the configuration cannot be used, the hub cannot listen on an address, or the store cannot
/// be opened.
pub async fn run(loaded: &Loaded, out: &mut impl Write) -> Result<()> {
    let config = &loaded.config;
    // Mistakes in the configuration are reported before faults of the machine, such as an address in use.
    let (access, sets) = loaded.access()?;
    let retention = loaded.log_retention()?;
    let listeners = Listeners::bind(config)?;
    // Before the addresses are announced, so that no later signal is missed.
    let mut stop = pin!(stop_signal()?);
    let log = parts::log(config, retention).await?;
    let mut registry = Registry::with_prefix("ssekit");
    let (_fetching, key_renewals) = keys::keep_current(sets, &access);
    let options = parts::hub(config, access, key_renewals);
    let hub = Hub::start(Arc::clone(&log), options, &mut registry).await.context("cannot start the hub")?;
    let demo = config.demo.then(Demo::new);
    let ui = config.ui.then(|| Ui::start(Arc::clone(&hub)));
    let demos = demo.as_ref().map(|demo| ("/", demo.router()));
    let pages = [demos, ui.as_ref().map(|ui| ("/hub/", ui.router()))].into_iter().flatten();
    let (at, routers): (Vec<_>, Vec<_>) = pages.unzip();
    // A site that points its own name at this machine is refused.
    let names = (config.demo || config.dev).then(|| config.addr.clone().into());
    let pages = routers.into_iter().reduce(Router::merge).map(|router| Pages { router, at, names });
    let server = Server::new(Arc::clone(&hub), parts::server(config, pages), registry);
    // Before the first connection, so that every visitor is noticed.
    let running = demo.as_ref().map(Demo::run);
    let opened = listeners.serve(config, &server)?;
    announce::write(config, &opened.local, out).context("cannot print the addresses")?;
    let manager = Notify::new(&Environment::read()).context("cannot notify the service manager")?;
    manager.ready();

    tokio::select! {
        ended = measure(running) => ended.context("the demo failed")?,
        () = manager.keep_alive() => {}
        () = renew_keys(loaded, &hub) => {}
        () = &mut stop => {}
    }
    manager.stopping();
    opened.close();
    if let Some(demo) = &demo {
        demo.close();
    }
    if let Some(ui) = &ui {
        ui.close();
    }
    hub.end(config.drain).await;
    server.end(GRACE).await;
    log.close().await.context("cannot close the store")?;
    Ok(())
}

/// Reads the key files again at every SIGHUP.
async fn renew_keys(loaded: &Loaded, hub: &Hub) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::hangup()) {
            Err(error) => tracing::warn!(%error, "cannot handle SIGHUP: key files are read at startup only"),
            Ok(mut hangup) => {
                while hangup.recv().await.is_some() {
                    match loaded.renew_keys(hub.access()) {
                        Ok(()) => tracing::info!("SIGHUP: the key files were read again"),
                        Err(problems) => {
                            tracing::error!(
                                %problems,
                                "SIGHUP: cannot read the key files again; the old keys stay in use"
                            );
                        }
                    }
                }
            }
        }
    }
    std::future::pending().await
}

/// Runs the demo's figures and visitors, if there is a demo.
async fn measure(running: Option<impl Future<Output = Result<(), EmitError>>>) -> Result<()> {
    match running {
        Some(running) => running.await.map_err(Into::into),
        None => std::future::pending().await,
    }
}

/// Returns a future that ends with the first Ctrl-C or SIGTERM from now on.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let (mut interrupt, mut terminate) = {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).context("cannot install the signal handlers");
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
