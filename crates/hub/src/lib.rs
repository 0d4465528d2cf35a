//! The `ssekit` program.
mod demo;
pub mod serve;
