//! The promises of `produce`, over real sockets where users would see them.
//! `crates/wire/tests/conformance/README.md` explains the numbers of cases.

mod support;

mod within;

mod shapes;

mod headers;

mod events;

mod pings;

mod ends;

mod disconnects;

mod slow_clients;

mod threads;

mod resume;

mod streams;

mod clients;

mod presence;

mod runs;

mod testing;

mod transports;
