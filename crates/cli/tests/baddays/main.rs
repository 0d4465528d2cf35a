//! Hostile peers and faults of the machine: the built program, over real sockets.
//!
//! `SSEKIT_SOAK=1` makes the tests longer and larger, `SSEKIT_KILL_CYCLES` sets how often the program is
//! killed (5 times by default). Some tests need root (for a network namespace or a file system) or
//! `libfaketime` (Debian), and fail without them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures, for who asks with --nocapture")]

mod admission;
mod clock;
mod descriptors;
mod disk;
mod eviction;
mod hold;
mod hostile;
mod http2;
mod hub;
mod kill;
mod memory;
mod patterns;
mod peers;
mod replay;
mod restart;
mod slow;
mod stream;
mod tls;
mod token;
mod topics;
