//! The hub in this process, over real sockets: what subscribers and publishers see of it.
//!
//! Every case runs by each way to subscribe, since a subscriber must not be able to tell them apart.

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
