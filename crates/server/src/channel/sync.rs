//! The lock and atomics of a channel, or those of the model checker.

#[cfg(ssekit_model)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
#[cfg(not(ssekit_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};
