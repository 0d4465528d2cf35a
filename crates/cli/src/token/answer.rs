//! Result of a token command.

/// Output, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Text for standard output.
    pub text: String,
    /// Warnings for standard error.
    pub warnings: Vec<String>,
    /// 0 if all is well, 1 if a token is refused.
    pub code: u8,
}
