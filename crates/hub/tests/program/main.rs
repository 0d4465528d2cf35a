//! The built program, from outside: over sockets, in a terminal's place, and in a browser.

mod browser;
mod chromium;
mod http;
mod listen;
mod program;
mod scripted;
mod serve;
