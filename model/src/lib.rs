//! Every interleaving of a channel's publishers and readers: `cargo test` in this folder.
