//! Output of `--print`: the configuration as TOML.

use std::fmt::Write as _;

use super::load::Loaded;
use super::settings::GROUPS;

impl Loaded {
    /// Writes all settings as TOML that [`Loaded::read`] accepts, each with its source. Secrets are left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for group in GROUPS {
            let _ = writeln!(text, "# {}", group.title);
            for setting in group.settings {
                let origin = self.origins.of(setting.key);
                let Some(value) = (setting.show)(&self.config) else {
                    let _ = writeln!(text, "# {} is set; its value is hidden # {origin}", setting.key);
                    continue;
                };
                // A comment ends its line, so it goes on the first line of the value.
                let (first, rest) = value.split_once('\n').unwrap_or((&value, ""));
                let line = format!("{} = {first}", setting.key);
                let _ = writeln!(text, "{line:WIDTH$} # {origin}");
                if !rest.is_empty() {
                    let _ = writeln!(text, "{rest}");
                }
            }
            text.push('\n');
        }
        text.pop();
        text
    }
}

/// Column of the comments.
const WIDTH: usize = 44;
