//! A hub of the Mercure protocol as a library.
//!
//! It keeps updates in a log, and sends them to subscribers as server-sent events.
//!
//! ```text
//!  POST ─▶ hub ─▶ log ─▶ tail ─▶ fan-out threads ─▶ sockets and bodies of subscribers
//!  GET  ─▶ hub ─▶ replay from the log, then live updates ─▶ the same socket or body
//! ```
//!
//! | Module | Role |
//! |---|---|
//! | [`hub`] | joins the protocol (`ssekit-mercure`), the log (`ssekit-log`) and the fan-out |
//! | [`http`] | answers requests, as routes of another program or as a server |
//! | [`fanout`] | delivers updates to subscribers |
//! | [`jwks`] | fetches key sets, and fetches them again when their issuer changes them |
//!
//! # A hub inside another program
//!
//! [`http::router`] mounts a hub in an axum router. The program chooses the log, the keys, the path and the
//! limits, keeps its own HTTP server, and calls [`Hub::end`](hub::Hub::end) when it shuts down.
//! `docs/embedding.md` describes the program's part, `examples/embedded_hub.rs` is a whole program.
//!
//! [`http::Server`] opens sockets of its own. It limits connections, and a subscriber on a plain socket costs
//! an entry in a table and no task.
//!
//! The program `ssekit` (crate `ssekit-cli`) adds configuration, TLS, pages and commands.
//!
//! # Limits
//!
//! `docs/limits.md` has the table. `fanout::Options`, `http::Options`, and `Limits` of
//! `ssekit-mercure` change the defaults.

mod active_subscriptions;
pub mod fanout;
pub mod http;
pub mod hub;
pub mod jwks;
mod log_limit;
