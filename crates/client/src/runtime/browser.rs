use std::cell::Cell;
use std::time::Duration;

use js_sys::{Function, Promise, Reflect, global};
use send_wrapper::SendWrapper;
use url::Url;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;
pub use web_time::Instant;
use web_time::web::SystemTimeExt;

pub(crate) use futures_core::future::LocalBoxFuture as BoxFuture;
pub(crate) use futures_core::stream::LocalBoxStream as BoxStream;

mod host;

pub(crate) use host::HostMonitor;

/// `Send` natively. In a browser, where the objects of a page stay in one thread, any type.
pub trait MaybeSend {}

impl<T: ?Sized> MaybeSend for T {}

/// `Sync` natively. In a browser, where the objects of a page stay in one thread, any type.
pub trait MaybeSync {}

impl<T: ?Sized> MaybeSync for T {}

/// Something of the caller, which stays in the thread that made it: in WebAssembly, usually the only one.
pub(crate) type ThreadBound<T> = SendWrapper<T>;

/// The page or the worker, whose microtasks run tasks.
pub(crate) struct Handle;

pub(crate) fn current() -> Option<Handle> {
    Some(Handle)
}

impl Handle {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        wasm_bindgen_futures::spawn_local(task);
    }
}

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn wall_clock() -> std::time::SystemTime {
    web_time::SystemTime::now().to_std()
}

/// A random number. (The hasher of Rust has the same keys in every page.)
pub(crate) fn seed() -> u64 {
    const BITS: i32 = 53;
    (js_sys::Math::random() * 2f64.powi(BITS)) as u64
}

/// The base of relative URLs.
pub(crate) fn base_url() -> Option<Url> {
    let document = property(&global(), "document").and_then(|document| property(&document, "baseURI"));
    let base = document.or_else(|| property(&property(&global(), "location")?, "href"))?;
    Url::parse(&base.as_string()?).ok()
}

pub(crate) async fn sleep_until(moment: Instant) {
    /// The longest time of `setTimeout`, a signed number of 32 bits.
    const LONGEST: f64 = i32::MAX as f64;
    loop {
        let left = moment.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        Timer::start((left.as_secs_f64() * 1e3).ceil().min(LONGEST)).elapsed().await;
    }
}

/// Lets other tasks run that are ready.
pub(crate) async fn yield_now() {
    let _ = JsFuture::from(Promise::resolve(&JsValue::UNDEFINED)).await;
}

/// Lets the page paint and answer its user, when a connection that always has more to read has run for a
/// while: tasks of Rust run before all else.
pub(crate) async fn consume_budget() {
    const TURN: Duration = Duration::from_millis(8);
    thread_local! {
        static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let since = SINCE.get();
    if since.is_some_and(|since| since.elapsed() < TURN) {
        return;
    }
    if since.is_some() {
        next_task().await;
    }
    SINCE.set(Some(now()));
}

/// A turn of the event loop. Unlike a timer, it costs nothing to wait for, and a hidden page gets it as soon.
async fn next_task() {
    let Ok(channel) = MessageChannel::new() else { return };
    let turn = Promise::new(&mut |resolve, _| {
        channel.port1().set_onmessage(Some(&resolve));
        // The message can be copied, so this does not fail.
        let _ = channel.port2().post_message(&JsValue::NULL);
    });
    let _ = JsFuture::from(turn).await;
    channel.port1().close();
}

/// A timer of the page, which ends when it is dropped.
struct Timer {
    id: JsValue,
    elapsed: Promise,
    /// Resolves the promise.
    end: Function,
}

impl Timer {
    fn start(milliseconds: f64) -> Self {
        let mut timer = (JsValue::UNDEFINED, Function::from(JsValue::UNDEFINED));
        let elapsed = Promise::new(&mut |resolve, _| {
            let id = call("setTimeout", &[&resolve, &milliseconds.into()]);
            timer = (id.unwrap_or_default(), resolve);
        });
        let (id, end) = timer;
        Self { id, elapsed, end }
    }

    async fn elapsed(&self) {
        let _ = JsFuture::from(self.elapsed.clone()).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = call("clearTimeout", &[&self.id]);
        // A future that waits for a promise lives until the promise has settled.
        let _ = self.end.call0(&JsValue::UNDEFINED);
    }
}

/// Calls a function that windows and workers have.
pub(crate) fn call(name: &str, arguments: &[&JsValue]) -> Result<JsValue, JsValue> {
    let function: Function = Reflect::get(&global(), &name.into())?.dyn_into()?;
    let arguments = arguments.iter().copied().collect::<js_sys::Array>();
    function.apply(&JsValue::UNDEFINED, &arguments)
}

/// Returns a property of an object.
pub(crate) fn property(object: &JsValue, name: &str) -> Option<JsValue> {
    let value = Reflect::get(object, &name.into()).ok()?;
    (!value.is_undefined() && !value.is_null()).then_some(value)
}
