//! The WebAssembly part of the npm package `ssekit`: [`Session`](ssekit_session::Session), which decides for
//! a client, and its decoder. JavaScript makes the requests, sets the timers and delivers the events.
//!
//! Only numbers cross the boundary, and seldom: a piece of a stream is copied in and decoded by one call, and
//! all of its events come back as one text and one table (see [`table`]). Nothing is imported: time and
//! random seeds are parameters, so that the module is the same in windows, workers and on servers.
//!
//! `exports.rs` is the boundary, `instance.rs` the state behind it, `settings.rs` the configuration.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod exports;
mod instance;
mod settings;
pub mod table;

pub use instance::{Input, Instance};
pub use settings::Settings;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Traps: JavaScript gets a `RuntimeError`, and discards the module.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
