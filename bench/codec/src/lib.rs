//! The corpora, and their readers and writers.

pub mod corpus;
pub mod decoding;
pub mod encoding;
