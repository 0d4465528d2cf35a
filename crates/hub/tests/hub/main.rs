//! The hub in this process, over real sockets: the behavior that subscribers and publishers see.
//!
//! Every case runs over each transport of subscribers, because they must not differ.

mod active;
mod admission;
mod client;
mod deliver;
mod embedded;
mod ends;
mod idempotency;
mod jwks;
mod keys;
mod live;
mod loss;
mod no_silent_loss;
mod pages;
mod private;
mod publish;
mod refused;
mod replay;
mod retention;
mod setup;
mod slow;
mod stream;
mod templates;
mod unreadable;
