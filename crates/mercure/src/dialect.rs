//! Version of the Mercure protocol.

/// Version of the Mercure protocol that a token or a parameter uses.
///
/// A hub serves both versions at once. The version of the token decides how the hub verifies it. The version
/// of the parameters decides the shape of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Versions 0.x: draft 07 of the protocol.
    #[default]
    V0,
    /// Version 1.0: draft 08 of the protocol.
    V1,
}
