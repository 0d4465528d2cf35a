//! The built program, from outside: over sockets, on a terminal, in a browser, and with Node.

mod browser;
mod check;
mod chromium;
mod compressed;
mod config;
mod examples;
mod generate;
mod health;
mod http;
mod keys;
mod listen;
#[path = "../../../server/tests/sveltekit_sse/node.rs"]
mod node;
mod program;
mod proxy;
mod publish;
mod publish_again;
mod repeat;
mod scripted;
mod serve;
mod token;
