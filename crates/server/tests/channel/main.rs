//! The promises of `Channel`: without a network where bytes are enough, by threads and over sockets
//! elsewhere.

mod subscriber;

#[path = "../server/within.rs"]
mod within;

mod delivery;

mod ending;

mod retention;

mod resuming;

mod overtaken;

mod gathering;

mod selections;

mod properties;

mod threads;
