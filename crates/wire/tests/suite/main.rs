//! The format, tested as its users meet it.

mod conformance;
mod limits;
mod properties;
mod reference;
