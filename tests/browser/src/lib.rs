//! The Rust client as a page's module: what a test of it in a browser needs. Natively there is nothing in it.

#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
pub use page::Reader;
