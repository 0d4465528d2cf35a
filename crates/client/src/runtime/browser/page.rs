use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use js_sys::global;
use ssekit_session::Session;
use url::Host;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Event, EventTarget};

use super::{Instant, property};
use crate::connection::Connection;

/// The events of the page around a connection; in a worker, those that workers get.
pub(crate) struct Page {
    news: Rc<News>,
    /// As it was told last.
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
struct News {
    /// There may be some.
    any: Cell<bool>,
    /// The page will stand still.
    frozen: Cell<bool>,
    /// It moves again.
    thawed: Cell<bool>,
    /// It was shown.
    shown: Cell<bool>,
}

impl Page {
    /// Listens until it is dropped.
    pub(crate) fn watch(connection: &Arc<Connection>) -> Self {
        let news = Rc::new(News::default());
        news.any.set(true);
        let listen = |target: &JsValue, event: &'static str, note: fn(&News, &Event)| {
            let (news, connection) = (Rc::clone(&news), Arc::clone(connection));
            Listener::add(target, event, move |event| {
                news.any.set(true);
                note(&news, &event);
                connection.wake();
            })
        };
        let mut listeners = Vec::new();
        let global = global();
        let needs_network = connection.request.as_ref().is_ok_and(|request| !is_loopback(&request.url));
        if needs_network {
            listeners.extend(listen(&global, "online", |_, _| {}));
            listeners.extend(listen(&global, "offline", |_, _| {}));
        }
        if let Some(document) = property(&global, "document") {
            listeners.extend(listen(&document, "visibilitychange", |news, _| news.shown.set(!is_hidden())));
            listeners.extend(listen(&document, "freeze", |news, _| news.frozen.set(true)));
            listeners.extend(listen(&document, "resume", |news, _| news.thawed.set(true)));
            listeners.extend(listen(&global, "pagehide", |news, event| {
                news.frozen.set(news.frozen.get() || is_persisted(event));
            }));
            listeners.extend(listen(&global, "pageshow", |news, event| {
                news.thawed.set(news.thawed.get() || is_persisted(event));
            }));
        }
        Self {
            news,
            hidden: false,
            offline: false,
            needs_network,
            clocks: Clocks::now(),
            _listeners: listeners,
        }
    }

    /// The time of the next look at the page, which finds jumps of its clock and unreported events.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        Some(self.clocks.steady + LOOK)
    }

    /// Does nothing: a page finds a sleep by its events.
    pub(crate) fn received(&mut self) {}

    /// Looks at the page if that is due; [`tell`](Self::tell) follows.
    pub(crate) fn look(&mut self) {
        if self.clocks.steady.elapsed() >= LOOK {
            self.news.any.set(true);
        }
    }

    /// Reports the events of the page to the session.
    pub(crate) fn tell<E: Clone + std::fmt::Debug>(&mut self, session: &mut Session<E>, now: Duration) {
        if !self.news.any.take() {
            return;
        }
        if self.news.frozen.take() {
            session.frozen(now);
        }
        if self.news.thawed.take() {
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
        let has_jumped = passed >= JUMP.as_secs_f64() * 1e3;
        if self.news.shown.take() || has_jumped {
            let counted = clocks.steady.saturating_duration_since(self.clocks.steady);
            let slept = Duration::try_from_secs_f64(passed / 1e3).unwrap_or_default().saturating_sub(counted);
            session.woken(slept, now);
        }
        self.clocks = clocks;
    }
}

/// Between two looks at the page.
const LOOK: Duration = Duration::from_secs(30);

/// More between two looks than a browser lets the timers of a hidden page wait: the machine has slept.
const JUMP: Duration = Duration::from_secs(90);

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
fn is_loopback(url: &url::Url) -> bool {
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
