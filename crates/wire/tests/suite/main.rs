//! The format, tested as its users meet it.

mod conformance;
#[cfg(feature = "json")]
mod json;
mod limits;
mod properties;
mod reference;
