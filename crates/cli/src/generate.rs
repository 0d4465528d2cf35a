//! `ssekit completions` and `ssekit man`, made from the definition of the command line.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Error};
use clap::Command;
pub use clap_complete::Shell;

/// The name of the program in a shell.
const PROGRAM: &str = "ssekit";

/// Returns the completion script for a shell.
pub fn completions(shell: Shell, mut command: Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut script);
    script
}

/// Writes the man pages of the program and of each command into a folder, and creates the folder.
///
/// # Errors
/// When a file cannot be written.
pub fn man(command: Command, folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("cannot write the man pages into {}", folder.display()))
}
