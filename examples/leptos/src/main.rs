//! A page whose values are a server's events, each a signal.

use std::time::Duration;

use js_sys::Date;
use leptos::prelude::*;
use serde::Deserialize;
use ssekit::{Latest, Source, Status, source};

/// The data of a `stats` event.
#[derive(Clone, Deserialize)]
struct Stats {
    /// Streams that are open at the server.
    open: u32,
    /// Those that ever were.
    opened: u32,
}

/// A latest value as a signal: this is all that joins ssekit and Leptos. It follows as long as its component
/// is there.
fn live<T: Clone + Send + Sync + 'static>(latest: Latest<T>) -> ReadSignal<Option<T>> {
    let (value, set) = signal(latest.get());
    let subscription = latest.subscribe(move |value| set.set(Some(value.clone())));
    on_cleanup(move || drop(subscription));
    value
}

#[component]
fn Page() -> impl IntoView {
    // The server pings when it is idle. A connection that is silent for longer is dead, and is opened again.
    let events = source("/live").read_timeout(Duration::from_secs(90));
    view! {
        <header>
            <h1>"ssekit with Leptos"</h1>
            <p class="soft">"Rust on both sides. All that moves here is a server-sent event."</p>
        </header>
        <main>
            <Clock events=events.clone() />
            <Streams events=events.clone() />
            <Connection events />
        </main>
    }
}

#[component]
fn Clock(events: Source) -> impl IntoView {
    let milliseconds = events.select("time").transform(|text| text.parse::<f64>().unwrap_or(f64::NAN));
    let now = live(milliseconds.latest());
    let date = move || now.get().map(|now| Date::new(&now.into()));
    let machine = move || date().and_then(|date| date.to_iso_string().as_string());
    let shown = move || date().and_then(|date| date.to_locale_time_string("default").as_string());
    view! {
        <section class="card" aria-label="Clock">
            <h2>"The server’s clock"</h2>
            <time datetime=machine>{move || shown().unwrap_or("––:––:––".into())}</time>
        </section>
    }
}

#[component]
fn Streams(events: Source) -> impl IntoView {
    let stats = live(events.select("stats").json::<Stats>().latest());
    let figure = move |of: fn(Stats) -> u32| stats.get().map_or("–".into(), |stats| of(stats).to_string());
    view! {
        <section class="card" aria-label="Streams">
            <h2>"Its streams"</h2>
            <p><b data-figure="open">{move || figure(|stats| stats.open)}</b>" open: one for each tab with this page"</p>
            <p><b data-figure="opened">{move || figure(|stats| stats.opened)}</b>" since it has started"</p>
        </section>
    }
}

#[component]
fn Connection(events: Source) -> impl IntoView {
    let status = live(events.statuses());
    let shown = move || match status.get() {
        None | Some(Status::Idle) => ("idle", "not connected".into()),
        Some(Status::Connecting) => ("connecting", "connecting".into()),
        Some(Status::Open) => ("open", "live".into()),
        Some(Status::Waiting { error, .. }) => ("waiting", format!("trying again: {error}")),
        Some(Status::Closed { reason }) => ("closed", reason.to_string()),
        Some(_) => ("paused", "paused".into()),
    };
    let is_closed = move || status.get().is_some_and(|status| status.is_closed());
    let toggle = move |_| if is_closed() { events.connect() } else { events.close() };
    view! {
        <section class="card wide" aria-label="Connection">
            <p role="status" class=move || shown().0>{move || shown().1}</p>
            <button on:click=toggle>{move || if is_closed() { "Connect" } else { "Close" }}</button>
        </section>
    }
}

fn main() {
    mount_to_body(Page);
}
