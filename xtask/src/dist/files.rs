//! Files and folders, with errors that name them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, and creates its folder.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    parent(path)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a file with its permissions, and creates its folder.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    parent(to)?;
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
        .map(drop)
}

/// Copies the files of a folder that contains no other folders.
pub(super) fn copy_all(from: &Path, to: &Path) -> Result<()> {
    list(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)))
}

/// Returns the names of the entries of a folder.
pub(super) fn list(folder: &Path) -> Result<Vec<String>> {
    let context = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(context)?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<Result<Vec<_>>>().with_context(context)
}

/// Makes an empty folder.
pub(super) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
