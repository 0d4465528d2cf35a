//! `ssekit token`: makes tokens, and explains them.

mod answer;
mod claims;
mod explain;
mod make;

use std::time::SystemTime;

pub use self::answer::Answer;
pub use self::explain::Explain;
pub use self::make::Make;
use crate::terminal::Failure;

/// The subcommands of `ssekit token`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Token {
    /// Create a token (JWT) and print it
    Make(Make),
    /// Show the contents of a token, and why a hub would refuse it
    Explain(Explain),
}

impl Token {
    /// Runs the command.
    ///
    /// # Errors
    /// When the arguments are invalid.
    pub fn run(&self, now: SystemTime) -> Result<Answer, Failure> {
        match self {
            Self::Make(make) => make.run(now),
            Self::Explain(explain) => explain.run(now),
        }
    }
}
