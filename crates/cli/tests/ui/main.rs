//! The hub's page: what it asks for, over sockets, and itself, in Chromium.

#![expect(clippy::print_stdout, reason = "what a page has seen, when a search has no answer")]

mod browser;
mod hub;
mod requests;

// What the tests of the program use, of which these do not need all.
#[allow(dead_code)]
#[path = "../program/chromium.rs"]
mod chromium;
#[allow(dead_code)]
#[path = "../program/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "../program/program.rs"]
mod program;
