//! What `produce` promises, over real sockets where users would see it. Numbers are those of the conformance cases.

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

mod testing;

mod transports;
