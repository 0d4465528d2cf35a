//! The documents: commands and programs run, settings are valid, links lead somewhere, and reference tables
//! name everything that the program has.

mod architecture;
mod blocks;
mod commands;
#[allow(dead_code, reason = "the tests of interoperation start more hubs")]
#[path = "../interop/hub.rs"]
mod hub;
mod limits;
mod links;
mod names;
mod operating;
#[allow(dead_code, reason = "the tests of the program start it otherwise")]
#[path = "../program/program.rs"]
mod program;
mod programs;
mod reference;
mod settings;
mod workspace;
