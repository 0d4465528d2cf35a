//! The promises of a stream hold in every framework, over real sockets. A case is written once and run for
//! each framework; `crates/wire/tests/conformance/README.md` explains the numbers.

mod answers;

mod compression;

mod departures;

mod ends;

mod resume;

mod shutdown;

mod slow_clients;
