//! Interoperation: publishers and subscribers in other languages, a browser, and the proxies and the service
//! manager in front of the hub, each as its users run it, with the files of `examples/hub`.

mod behind_proxies;
#[allow(dead_code, reason = "the tests of the page look closer")]
#[path = "../program/chromium.rs"]
mod chromium;
mod cross_origin;
mod deploy;
mod ending;
mod hub;
mod logs;
mod monitoring;
mod page;
#[allow(dead_code, reason = "the tests of the demo start it otherwise")]
#[path = "../program/program.rs"]
mod program;
mod proxy;
mod publishers;
mod python;
mod substitute;
