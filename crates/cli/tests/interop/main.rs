//! Others talk to the hub: publishers and subscribers in other languages, a browser, the proxies and the service manager in front
//! of it, each as its users run it. `examples/hub` is what they are run with.

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
mod operating;
mod page;
#[allow(dead_code, reason = "the tests of the demo start it otherwise")]
#[path = "../program/program.rs"]
mod program;
mod proxy;
mod publishers;
mod python;
mod substitute;
