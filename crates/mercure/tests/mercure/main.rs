//! The protocol without sockets, through the public API, in the order of the lines in `checklist.rs`.

mod access;
mod checklist;
mod claims;
mod confusion;
mod expand;
mod ids;
mod keys;
mod origins;
mod pages;
mod publication;
mod reference;
mod request;
mod selectors;
mod subscribe;
mod subscriptions;
mod templates;
