use std::fmt::Write as _;

use super::load::Loaded;
use super::settings::GROUPS;

impl Loaded {
    /// All settings as TOML that [`Loaded::read`] takes again, each with who has said it. Secrets are left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for group in GROUPS {
            let _ = writeln!(text, "# {}", group.title);
            for setting in group.settings {
                let origin = self.origins.of(setting.key);
                let Some(value) = (setting.show)(&self.config) else {
                    let _ = writeln!(text, "# {} is given, and not shown # {origin}", setting.key);
                    continue;
                };
                // A comment ends its line, so it stands on the value's first.
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

/// Where the comments begin.
const WIDTH: usize = 44;
