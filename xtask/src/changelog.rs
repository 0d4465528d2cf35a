//! The sections of CHANGELOG.md.

use std::fs;

use anyhow::{Context as _, Result};

use crate::command::root;

/// Returns the section of a version, without its heading.
pub(crate) fn section(version: &str) -> Result<String> {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).context("cannot read CHANGELOG.md")?;
    find(&text, version).with_context(|| format!("CHANGELOG.md has no section for {version}"))
}

fn find(text: &str, version: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\n## [{version}]"))?;
    let (_, section) = rest.split_once('\n')?;
    let end = ["\n## ", "\n["].iter().filter_map(|next| section.find(next)).min();
    Some(section[..end.unwrap_or(section.len())].trim().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn a_section_ends_before_the_next_version_or_the_links() {
        let text = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-01\n\n- New.\n\n\
                    ### Fixed\n\n- Old.\n\n\
                    ## [0.1.0] - 2026-12-01\n\nThe first.\n\n[0.1.0]: https://example.com\n";
        assert_eq!(find(text, "0.2.0").as_deref(), Some("- New.\n\n### Fixed\n\n- Old.\n"));
        assert_eq!(find(text, "0.1.0").as_deref(), Some("The first.\n"));
        assert_eq!(find(text, "0.3.0"), None);
    }
}
