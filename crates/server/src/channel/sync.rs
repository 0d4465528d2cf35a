//! The lock of a channel, which the model checker replaces by one that it can interleave.

#[cfg(ssekit_model)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(ssekit_model))]
pub(crate) use std::sync::{Mutex, MutexGuard};
