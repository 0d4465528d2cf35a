//! The Mercure protocol, without sockets and clocks: what a request says, whether it may, and what it is answered.
//!
//! ```text
//!  POST ─▶ Access::publisher ─▶ publication ─▶ Publisher::check ─▶ Record, for the log
//!  GET  ─▶ Subscribe::read (Access::subscriber, selectors, cursor) ─▶ may_read, Selector::matches: for each update
//!                             whatever goes wrong ─▶ Problem ─▶ application/problem+json
//! ```
//!
//! It is the protocol as its clients speak it today (draft-ietf-mercure-07, version 0.x of its hubs), with all of the coming version
//! that does not depend on its new tokens.

mod access;
mod algorithm;
mod batch;
pub mod cors;
pub mod discovery;
mod explain;
mod form;
mod ids;
mod keys;
mod limits;
mod namespace;
mod origins;
mod problem;
mod publication;
mod selector;
mod spki;
mod subscribe;
pub mod subscriptions;
mod template;
mod text;
mod token;

pub use self::access::{Access, Publisher};
pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::batch::publications_ndjson;
pub use self::explain::{Action, Check, Explanation, explain};
pub use self::ids::Ids;
pub use self::keys::{KeyError, Keys};
pub use self::limits::Limits;
pub use self::origins::{OriginError, Origins};
pub use self::problem::{Kind as ProblemKind, Problem};
pub use self::publication::publication;
pub use self::selector::{Kind, Selector, SelectorError};
pub use self::subscribe::{Cursor, Subscribe};
pub use self::token::{Token, TokenError, may_read};
