//! Flags of the commands that sign or verify tokens.

use std::path::PathBuf;

use anyhow::{Error, anyhow};

use crate::config::{Key, Secret};

/// Key that signs or verifies.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KeyFlags {
    /// Key: a secret, or PEM (a private key to sign, a public key to verify) [env: SSEKIT_KEY]
    #[arg(long, value_name = "SECRET", conflicts_with = "key_file", value_parser = secret)]
    key: Option<Secret>,
    /// File with the key; unlike --key, it stays out of `ps` [env: SSEKIT_KEY_FILE]
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

impl KeyFlags {
    /// Reads the text of the key, if a flag, or else a variable, names one.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(crate) fn read(&self) -> Result<Option<Secret>, Error> {
        let mut key = Key { secret: self.key.clone(), file: self.key_file.clone(), ..Key::default() };
        if !key.is_given() {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            key.secret = variable("SSEKIT_KEY").map(Secret::new);
            key.file = variable("SSEKIT_KEY_FILE").map(PathBuf::from);
        }
        key.read().map_err(|error| anyhow!(error))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the parser of flags asks for it")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}
