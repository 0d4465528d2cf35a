//! The `ssekit` program.
mod demo;
pub mod listen;
pub mod serve;
