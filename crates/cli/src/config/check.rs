//! Checks of the files that a configuration names.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::load::Loaded;
use super::problem::{Problem, Problems};
use super::{Key, Secret};
use crate::terminal::chain;
use crate::tls::Tls;

/// Maximum size of a key file in bytes.
const MAX_KEY: u64 = 1 << 20;

impl Loaded {
    /// Checks that the files of the configuration can be read and used.
    ///
    /// Starts and writes nothing, and does not use the network.
    ///
    /// # Errors
    /// All faults.
    pub fn check(&self) -> Result<(), Problems> {
        let config = &self.config;
        let mut problems = Vec::new();
        if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key)
            && let Err(error) = Tls::open(cert, key)
        {
            problems.push(Problem { origin: self.origins.of("tls.cert"), what: chain(&error) });
        }
        if let Err(wrong) = self.access() {
            problems.extend(wrong.0);
        }
        if let Err(wrong) = self.log_retention() {
            problems.extend(wrong.0);
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}

impl Key {
    /// Reads the secret or the public keys, from their file if there is one.
    ///
    /// A line feed at the end is removed. `None` if a key set must be fetched, or no key is set.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or is no text, as a sentence.
    pub fn read(&self) -> Result<Option<Secret>, String> {
        let jwks = self.jwks.as_deref().filter(|_| !self.is_fetched()).map(Path::new);
        match (&self.secret, self.file.as_deref().or(jwks)) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(path)) => read(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Secret, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEY + 1).read_to_string(&mut text));
    match read {
        // A truncated text would be another key.
        Ok(bytes) if bytes as u64 > MAX_KEY => {
            Err(format!("the key file {} is larger than {MAX_KEY} bytes", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(format!(
            "the key file {} is not UTF-8 text: save it as UTF-8, without a byte order mark",
            path.display()
        )),
        Err(error) => Err(format!("cannot read the key file {}: {error}", path.display())),
        Ok(_) if text.trim().is_empty() => Err(format!("the key file {} is empty", path.display())),
        Ok(_) => {
            warn_of_other_readers(path, &text);
            Ok(Secret::new(
                text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text)),
            ))
        }
    }
}

/// Warns if other users of the machine can read a secret. Public keys and key sets may be readable.
#[cfg(unix)]
fn warn_of_other_readers(path: &Path, text: &str) {
    use std::os::unix::fs::MetadataExt as _;
    let is_public = text.contains("-----BEGIN PUBLIC KEY") || text.trim_start().starts_with('{');
    let mode = std::fs::metadata(path).map_or(0, |data| data.mode() & 0o777);
    if mode & 0o004 != 0 && !is_public {
        tracing::warn!(
            file = %path.display(),
            "every user of this machine can read the key file (mode {mode:o}): run chmod 600 {}",
            path.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_of_other_readers(_: &Path, _: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is too large used to be truncated, and the rest taken for a key.
    #[test]
    fn a_file_that_is_too_large_holds_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        for (size, taken) in [(MAX_KEY, true), (MAX_KEY + 1, false)] {
            std::fs::write(&file, "k".repeat(size as usize)).expect("it can be written");
            let key = Key { file: Some(file.clone()), ..Key::default() };
            match key.read() {
                Ok(secret) => {
                    assert!(taken && secret.is_some_and(|secret| secret.expose().len() as u64 == size))
                }
                Err(why) => assert!(!taken && why.ends_with("is larger than 1048576 bytes"), "{why}"),
            }
        }
    }
}
