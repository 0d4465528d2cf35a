//! Panics of closures of the caller: their text, and locks that ignore the poison that they leave.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}

/// Locks a mutex and ignores poison: a panic of a caller's closure leaves the guarded value intact.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
