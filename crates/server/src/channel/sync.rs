//! What threads share in a channel, which the model checker replaces by what it can interleave.

#[cfg(ssekit_model)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
#[cfg(not(ssekit_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};
