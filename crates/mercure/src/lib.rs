//! The Mercure protocol without sockets, files and clocks.
//!
//! Each function takes the bytes of a request and the current time, and returns a record, a subscription, or
//! the problem that the hub answers.
//!
//! ```text
//!  POST ─▶ Access::publisher ─▶ publication ─▶ Publisher::check ─▶ Record, for the log
//!  GET  ─▶ Subscribe::read (token, selectors, cursor) ─▶ may_read, Selector::matches: for each update
//!                             each error ─▶ Problem ─▶ application/problem+json
//! ```
//!
//! The crate implements the protocol of today's clients (draft-ietf-mercure-07, hubs of versions 0.x), and
//! the parts of version 1.0 that do not depend on the new form of tokens. `tests/mercure/checklist.rs` lists
//! every line of the protocol with its test. The crate `ssekit-hub` serves the protocol over HTTP; [`issue`]
//! signs tokens.
//!
//! # Limits
//!
//! | Limited | Default ([`Limits`]) | Beyond it |
//! |---|---|---|
//! | body of a publication | 1 MiB | 413 |
//! | publications of a batch | 10,000 | 413 |
//! | topics of a publication; bytes of each | 1,000; 4,096 | 413 |
//! | bytes of an id, of a type | 1,024 | 413 |
//! | characters of an `Idempotency-Key` | 255 | 400 |
//! | selectors of a subscription; bytes of each | 100; 4,096 | 400 |
//! | variables of a template; of all templates of a subscription | 32; 256 | 400, or 401 in a token |
//! | cost of the templates for one topic ([`Limits::hub_variables`]) | 8,192; half without a token | 200 and `retry:`, or 503 |
//! | cost of matching one publication ([`Limits::matching`]) | 4,194,304 | 413 |
//! | bytes of a last event ID | 1,024 | 400 |
//! | bytes of a token; selectors of a claim | 8 KiB; 500 | 401 |
//! | bytes of a secret | at least 32 | an invalid key |
//! | bytes of a modulus (RSA) | 256 to 1,024 | an invalid key |
//! | keys of a set; its bytes | 100; 256 KiB | the earlier keys stay in use |

mod access;
mod algorithm;
mod batch;
mod claims;
pub mod cors;
mod dialect;
pub mod discovery;
mod explain;
mod form;
mod host;
mod idempotency;
mod ids;
pub mod issue;
mod jwk;
mod keys;
mod limits;
mod namespace;
mod object;
mod origins;
mod problem;
mod publication;
mod required;
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
pub use self::dialect::Dialect;
pub use self::explain::{Action, Check, Explanation, explain};
pub use self::host::foreign_host;
pub use self::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_LIFETIME};
pub use self::ids::Ids;
pub use self::keys::{KeyError, Keys, Replacements, secret_text};
pub use self::limits::Limits;
pub use self::object::Object;
pub use self::origins::{AllowedOrigin, OriginError, Origins};
pub use self::problem::{Kind as ProblemKind, Problem};
pub use self::publication::publication;
pub use self::required::RequiredClaims;
pub use self::selector::{Kind, Selector, SelectorError, selects};
pub use self::subscribe::{Cursor, Subscribe};
pub use self::template::Topic as PreparedTopic;
pub use self::text::shown;
pub use self::token::{Token, TokenError, may_read};
