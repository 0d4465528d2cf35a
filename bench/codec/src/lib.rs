//! The corpora, and everyone who reads and writes them.

pub mod corpus;
pub mod decoding;
pub mod encoding;
