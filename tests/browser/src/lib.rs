//! The Rust client as a page's module, for its tests in a browser. Natively it is empty.

#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
pub use page::Reader;
