//! What the npm package `ssekit` runs in WebAssembly: [`Session`](ssekit_session::Session), which decides for a client,
//! and the encoder. JavaScript makes the requests, sets the timers and hands on the events.
//!
//! Numbers alone cross the boundary, and they cross it seldom: a piece of a stream is copied in and decoded by one call,
//! and all of its events come back as one text and one table (see [`table`]). Nothing is imported: time and random seeds
//! are parameters, so that the module is the same in windows, workers and on servers.
//!
//! `exports.rs` is the boundary, `page.rs` what stands behind it, `settings.rs` how numbers become a configuration.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod exports;
mod page;
mod settings;
pub mod table;

pub use page::{Input, Page};
pub use settings::Settings;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// A trap: JavaScript gets a `RuntimeError`, and gives the module up.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
