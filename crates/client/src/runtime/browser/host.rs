use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::global;
use ssekit_session::Session;
use url::{Host, Url};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget};

use super::{Instant, property};

/// The events of the page around a connection; in a worker, those that workers get.
pub(crate) struct HostMonitor {
    events: Rc<PageEvents>,
    /// The last report to the session.
    hidden: bool,
    offline: bool,
    needs_network: bool,
    /// The last times of both clocks.
    clocks: Clocks,
    _listeners: Vec<Listener>,
}

/// The time that counts while the machine sleeps, in milliseconds, and the one that may not.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    wall: f64,
    steady: Instant,
}

#[derive(Debug, Default)]
struct PageEvents {
    /// There may be unreported events.
    any: Cell<bool>,
    /// The page will stand still.
    frozen: Cell<bool>,
    /// It moves again.
    thawed: Cell<bool>,
    /// It was shown.
    shown: Cell<bool>,
}

impl HostMonitor {
    /// Listens until it is dropped; each event of the page calls `wake`. A URL of this machine needs no
    /// network.
    pub(crate) fn watch(url: Option<&Url>, wake: impl Fn() + Clone + 'static) -> Self {
        let events = Rc::new(PageEvents::default());
        events.any.set(true);
        let listen = |target: &JsValue, event: &'static str, note: fn(&PageEvents, &Event)| {
            let (events, wake) = (Rc::clone(&events), wake.clone());
            Listener::add(target, event, move |event| {
                events.any.set(true);
                note(&events, &event);
                wake();
            })
        };
        let mut listeners = Vec::new();
        let global = global();
        let needs_network = url.is_some_and(|url| !is_loopback(url));
        if needs_network {
            listeners.extend(listen(&global, "online", |_, _| {}));
            listeners.extend(listen(&global, "offline", |_, _| {}));
        }
        if let Some(document) = property(&global, "document") {
            listeners
                .extend(listen(&document, "visibilitychange", |events, _| events.shown.set(!is_hidden())));
            listeners.extend(listen(&document, "freeze", |events, _| events.frozen.set(true)));
            listeners.extend(listen(&document, "resume", |events, _| events.thawed.set(true)));
            listeners.extend(listen(&global, "pagehide", |events, event| {
                events.frozen.set(events.frozen.get() || is_persisted(event));
            }));
            listeners.extend(listen(&global, "pageshow", |events, event| {
                events.thawed.set(events.thawed.get() || is_persisted(event));
            }));
        }
        Self {
            events,
            hidden: false,
            offline: false,
            needs_network,
            clocks: Clocks::now(),
            _listeners: listeners,
        }
    }

    /// The time of the next check of the page, which finds jumps of its clock and unreported events.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        Some(self.clocks.steady + CHECK_INTERVAL)
    }

    /// Does nothing: a page finds a sleep by its events.
    pub(crate) fn on_bytes(&mut self) {}

    /// Checks the page if that is due; [`report`](Self::report) follows.
    pub(crate) fn check(&mut self) {
        if self.clocks.steady.elapsed() >= CHECK_INTERVAL {
            self.events.any.set(true);
        }
    }

    /// Reports the events of the page to the session.
    pub(crate) fn report<E: Clone + std::fmt::Debug>(&mut self, session: &mut Session<E>, now: Duration) {
        if !self.events.any.take() {
            return;
        }
        if self.events.frozen.take() {
            session.frozen(now);
        }
        if self.events.thawed.take() {
            session.thawed(now);
        }
        let offline = self.needs_network && is_offline();
        if offline != self.offline {
            self.offline = offline;
            session.offline(offline, now);
        }
        let hidden = is_hidden();
        if hidden != self.hidden {
            self.hidden = hidden;
            session.hidden(hidden, now);
        }
        let clocks = Clocks::now();
        let passed = clocks.wall - self.clocks.wall;
        let has_jumped = passed >= SLEEP_THRESHOLD.as_secs_f64() * 1e3;
        if self.events.shown.take() || has_jumped {
            let counted = clocks.steady.saturating_duration_since(self.clocks.steady);
            let slept = Duration::try_from_secs_f64(passed / 1e3).unwrap_or_default().saturating_sub(counted);
            session.woken(slept, now);
        }
        self.clocks = clocks;
    }
}

/// Between two checks of the page.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// More between two checks than a browser lets the timers of a hidden page wait: the machine has slept.
const SLEEP_THRESHOLD: Duration = Duration::from_secs(90);

impl Clocks {
    fn now() -> Self {
        Self { wall: js_sys::Date::now(), steady: super::now() }
    }
}

/// Whether the page is kept for the way back, or comes from there.
fn is_persisted(event: &Event) -> bool {
    property(event, "persisted").is_some_and(|persisted| persisted.is_truthy())
}

fn is_hidden() -> bool {
    property(&global(), "document")
        .and_then(|document| property(&document, "visibilityState"))
        .is_some_and(|state| state == "hidden")
}

/// A browser that says that it is online may be mistaken; one that says that it is not is right.
fn is_offline() -> bool {
    property(&global(), "navigator")
        .and_then(|navigator| property(&navigator, "onLine"))
        .is_some_and(|online| online.is_falsy())
}

/// Whether the URL leads to this very machine, which needs no network.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Listens to an event until it is dropped.
struct Listener {
    target: EventTarget,
    event: &'static str,
    closure: Closure<dyn FnMut(Event)>,
}

impl Listener {
    fn add(target: &JsValue, event: &'static str, listener: impl FnMut(Event) + 'static) -> Option<Self> {
        // Node has no events of this kind, for example.
        property(target, "addEventListener")?;
        let target: EventTarget = target.clone().unchecked_into();
        let closure = Closure::new(listener);
        target.add_event_listener_with_callback(event, closure.as_ref().unchecked_ref()).ok()?;
        Some(Self { target, event, closure })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self
            .target
            .remove_event_listener_with_callback(self.event, self.closure.as_ref().unchecked_ref());
    }
}
