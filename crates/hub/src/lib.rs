//! A hub of the Mercure protocol as a library: it keeps updates in a log, and sends them to subscribers as server-sent events.
//!
//! ```text
//!  POST ─▶ hub ─▶ log ─ tail ─▶ fan-out threads ─▶ sockets of subscribers
//!  GET  ─▶ hub ─▶ replay from the log, then live updates ─▶ the same sockets
//! ```
//!
//! | module | role |
//! |---|---|
//! | [`hub`] | joins the protocol (`ssekit-mercure`), the log (`ssekit-log`) and the fan-out |
//! | [`http`] | accepts connections and answers requests |
//! | [`fanout`] | delivers updates to subscribers |
//! | [`jwks`] | fetches keys, and fetches them again when their issuer changes them |
//!
//! The program `ssekit` (crate `ssekit-cli`) adds configuration, TLS, pages and commands. The table "Limits" in `ARCHITECTURE.md` lists the
//! limits.

mod active;
pub mod fanout;
pub mod http;
pub mod hub;
pub mod jwks;
mod log_limit;
