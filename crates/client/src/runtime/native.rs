use std::ops::{Deref, DerefMut};
use std::time::SystemTime;

pub(crate) use std::marker::{Send as MaybeSend, Sync as MaybeSync};
pub use std::time::Instant;

pub(crate) use futures_core::future::BoxFuture;
pub(crate) use futures_core::stream::BoxStream;
use tokio::runtime::Handle;
pub(crate) use tokio::task::coop::consume_budget;
pub(crate) use tokio::task::yield_now;
use url::Url;

pub(crate) use self::host::HostMonitor;

mod host;

/// The runtime of the caller, which runs new tasks.
pub(crate) fn current() -> Option<Handle> {
    Handle::try_current().ok()
}

/// The runtime's clock, which tests may stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(crate) async fn sleep_until(moment: Instant) {
    tokio::time::sleep_until(moment.into()).await;
}

pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Something random.
pub(crate) fn seed() -> u64 {
    fastrand::u64(..)
}

/// The base of relative URLs.
pub(crate) fn base_url() -> Option<Url> {
    None
}

/// Something of the caller, which may go to any thread.
#[derive(Debug)]
pub(crate) struct ThreadBound<T>(T);

impl<T> ThreadBound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for ThreadBound<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for ThreadBound<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
