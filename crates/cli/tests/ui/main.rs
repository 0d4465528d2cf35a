//! The hub's page: its requests over sockets, and the page in Chromium.

#![expect(clippy::print_stdout, reason = "what a page has seen, when a search has no answer")]

mod browser;
mod hub;
mod requests;

// Modules of the other test program, of which these tests use only parts.
#[allow(dead_code)]
#[path = "../program/chromium.rs"]
mod chromium;
#[allow(dead_code)]
#[path = "../program/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "../program/program.rs"]
mod program;
