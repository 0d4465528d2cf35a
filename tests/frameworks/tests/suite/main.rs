//! Case 110: what a stream promises holds in every framework, over real sockets. Numbers are those of the conformance
//! cases; a case is written once and run for each framework.

mod answers;

mod compression;

mod departures;

mod ends;

mod resume;

mod shutdown;

mod slow_clients;
