//! Value parsers: they read, check and write the values of settings.

use std::path::PathBuf;
use std::time::Duration;

use ssekit_mercure::{Algorithm, AllowedOrigin};

use super::units::{self, show_size, show_time};
use super::value::{Raw, Refusal, Value};
use super::{Secret, Spread, Store};

/// Parser of a setting's values.
pub(super) trait ValueParser<T> {
    /// Whether a value is a list, to which a repeated flag adds.
    const REPEATS: bool = false;

    /// Parses a value.
    fn read(&self, value: &Value) -> Result<T, Refusal>;

    /// Returns the value as TOML; `None` for an absent or hidden value.
    fn show(&self, value: &T) -> Option<String>;
}

/// Boolean.
pub(super) struct Bool;

impl ValueParser<bool> for Bool {
    fn read(&self, value: &Value) -> Result<bool, Refusal> {
        match value.as_text().map(|text| text.to_ascii_lowercase()).as_deref() {
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            _ => Err(value.refused("true or false")),
        }
    }

    fn show(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

/// Number within bounds.
pub(super) struct Count(pub(super) u64, pub(super) u64);

impl<T: Copy + TryFrom<u64> + TryInto<u64>> ValueParser<T> for Count {
    fn read(&self, value: &Value) -> Result<T, Refusal> {
        let text = value.as_text().unwrap_or_default().replace('_', "");
        let number = text.parse().ok().filter(|number| (self.0..=self.1).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| value.refused(&format!("a number from {} to {}", self.0, self.1)))
    }

    fn show(&self, value: &T) -> Option<String> {
        (*value).try_into().ok().map(|number: u64| number.to_string())
    }
}

/// Number of bytes within bounds.
pub(super) struct Size(pub(super) u64, pub(super) u64);

impl<T: Copy + TryFrom<u64> + TryInto<u64>> ValueParser<T> for Size {
    fn read(&self, value: &Value) -> Result<T, Refusal> {
        let bytes = value.as_text().and_then(|text| units::size(&text));
        let bytes = bytes.ok_or_else(|| value.refused(units::SIZE))?;
        let within = Some(bytes).filter(|bytes| (self.0..=self.1).contains(bytes));
        within.and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(|| {
            value.refused(&format!("a size from {} to {}", show_size(self.0), show_size(self.1)))
        })
    }

    fn show(&self, value: &T) -> Option<String> {
        let bytes: u64 = (*value).try_into().ok()?;
        let text = show_size(bytes);
        Some(if text.bytes().all(|byte| byte.is_ascii_digit()) { text } else { quoted(&text) })
    }
}

/// Time within bounds, in milliseconds.
pub(super) struct Time(pub(super) u64, pub(super) u64);

impl ValueParser<Duration> for Time {
    fn read(&self, value: &Value) -> Result<Duration, Refusal> {
        let time = value.as_text().and_then(|text| units::time(&text));
        let time = time.ok_or_else(|| value.refused(units::TIME))?;
        let (least, most) = (Duration::from_millis(self.0), Duration::from_millis(self.1));
        Some(time)
            .filter(|time| (least..=most).contains(time))
            .ok_or_else(|| value.refused(&format!("a time from {} to {}", show_time(least), show_time(most))))
    }

    fn show(&self, value: &Duration) -> Option<String> {
        Some(quoted(&show_time(*value)))
    }
}

/// One time, or a range with `..`.
pub(super) struct Range(pub(super) Time);

impl ValueParser<Spread> for Range {
    fn read(&self, value: &Value) -> Result<Spread, Refusal> {
        const ALLOWED: &str = "a time or a range of times, such as 1s or 500ms..1500ms";
        let text = value.as_text().ok_or_else(|| value.refused(ALLOWED))?;
        let (least, most) = text.split_once("..").unwrap_or((&text, &text));
        let read =
            |text: &str| self.0.read(&Value { raw: Raw::Text(text.trim().to_owned()), ..value.clone() });
        let spread = Spread { least: read(least)?, most: read(most)? };
        if spread.least > spread.most {
            return Err(value.refused(ALLOWED));
        }
        Ok(spread)
    }

    fn show(&self, value: &Spread) -> Option<String> {
        Some(quoted(&format!("{}..{}", show_time(value.least), show_time(value.most))))
    }
}

/// One of a few names.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> ValueParser<T> for Choice<T> {
    fn read(&self, value: &Value) -> Result<T, Refusal> {
        let text = value.as_text().unwrap_or_default();
        let chosen = self.0.iter().find(|(name, _)| *name == text);
        chosen.map(|(_, chosen)| *chosen).ok_or_else(|| value.refused(&self.names()))
    }

    fn show(&self, value: &T) -> Option<String> {
        self.0.iter().find(|(_, choice)| choice == value).map(|(name, _)| quoted(name))
    }
}

impl<T> Choice<T> {
    fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        match names.as_slice() {
            [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
            names => names.concat(),
        }
    }
}

/// File permissions in octal: `660`, `"0660"`, `0o660`.
pub(super) struct Mode;

impl ValueParser<u32> for Mode {
    fn read(&self, value: &Value) -> Result<u32, Refusal> {
        let allowed = || value.refused("file permissions in octal and in quotes, such as \"660\"");
        // `unix_mode = 660` is decimal in TOML, and would have another meaning than it seems.
        let Raw::Text(text) = &value.raw else { return Err(allowed()) };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let is_octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = is_octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten();
        mode.filter(|mode| *mode <= 0o777).ok_or_else(allowed)
    }

    fn show(&self, value: &u32) -> Option<String> {
        Some(quoted(&format!("{value:03o}")))
    }
}

/// Text with a condition.
pub(super) struct Text {
    /// Description of the permitted texts.
    pub(super) allowed: &'static str,
    /// The condition.
    pub(super) is: fn(&str) -> bool,
}

impl ValueParser<String> for Text {
    fn read(&self, value: &Value) -> Result<String, Refusal> {
        match &value.raw {
            Raw::Text(text) if (self.is)(text) => Ok(text.clone()),
            _ => Err(value.refused(self.allowed)),
        }
    }

    fn show(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }
}

/// Several values: an array, or a text with commas.
pub(super) struct List<F>(pub(super) F);

impl<T, F: ValueParser<T>> ValueParser<Vec<T>> for List<F> {
    const REPEATS: bool = true;

    fn read(&self, value: &Value) -> Result<Vec<T>, Refusal> {
        match &value.raw {
            Raw::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
            Raw::Text(text) => {
                let each = |text: &str| Value { raw: Raw::Text(text.trim().to_owned()), line: value.line };
                at_most(
                    text.split(',').map(|text| self.0.read(&each(text))).collect::<Result<_, _>>()?,
                    value,
                )
            }
            Raw::List(list) => {
                let mut all = Vec::new();
                for value in list {
                    match &value.raw {
                        // A repeated flag may contain commas too.
                        Raw::Text(_) => all.extend(self.read(value)?),
                        _ => all.push(self.0.read(value)?),
                    }
                }
                at_most(all, value)
            }
            _ => Err(value.refused("a list")),
        }
    }

    fn show(&self, value: &Vec<T>) -> Option<String> {
        let items: Option<Vec<String>> = value.iter().map(|item| self.0.show(item)).collect();
        Some(format!("[{}]", items?.join(", ")))
    }
}

fn at_most<T>(items: Vec<T>, value: &Value) -> Result<Vec<T>, Refusal> {
    if items.len() <= MAX_ITEMS {
        return Ok(items);
    }
    Err(Refusal { line: value.line, why: format!("the list has more than {MAX_ITEMS} items") })
}

/// Signature algorithm.
pub(super) struct Signing;

impl ValueParser<Algorithm> for Signing {
    fn read(&self, value: &Value) -> Result<Algorithm, Refusal> {
        let text = value.as_text().unwrap_or_default();
        Algorithm::named(&text).ok_or_else(|| {
            let names = Algorithm::ALL.map(Algorithm::name);
            value.refused(&format!("one of {}", names.join(", ")))
        })
    }

    fn show(&self, value: &Algorithm) -> Option<String> {
        Some(quoted(value.name()))
    }
}

/// Origin, or a pattern of origins.
pub(super) struct WebOrigin {
    /// Whether `*` is permitted.
    pub(super) any: bool,
}

impl ValueParser<AllowedOrigin> for WebOrigin {
    fn read(&self, value: &Value) -> Result<AllowedOrigin, Refusal> {
        let origin = match &value.raw {
            Raw::Text(text) => text.parse::<AllowedOrigin>().ok(),
            _ => None,
        };
        let any = if self.any { ", or *" } else { "" };
        origin.filter(|origin| self.any || !origin.is_any()).ok_or_else(|| {
            value.refused(&format!(
                "an origin: https://app.example, https://*.app.example (any one label), \
                 http://localhost:* (any port){any}"
            ))
        })
    }

    fn show(&self, value: &AllowedOrigin) -> Option<String> {
        Some(quoted(&value.to_string()))
    }
}

/// Maximum number of items: origins are compared one by one.
const MAX_ITEMS: usize = 1_000;

/// Path of a file or folder.
pub(super) struct Path;

impl ValueParser<PathBuf> for Path {
    fn read(&self, value: &Value) -> Result<PathBuf, Refusal> {
        match &value.raw {
            Raw::Text(text) if !text.is_empty() => Ok(text.into()),
            _ => Err(value.refused("a path")),
        }
    }

    fn show(&self, value: &PathBuf) -> Option<String> {
        Some(quoted(&value.to_string_lossy()))
    }
}

/// `memory`, or a folder.
pub(super) struct StorePath;

impl ValueParser<Store> for StorePath {
    fn read(&self, value: &Value) -> Result<Store, Refusal> {
        match &value.raw {
            Raw::Text(text) if text == "memory" => Ok(Store::Memory),
            // A URL of a database must not become a folder of that name.
            Raw::Text(text) if !text.is_empty() && !text.contains("://") => Ok(Store::Folder(text.into())),
            _ => Err(value.refused("`memory` or the path of a folder")),
        }
    }

    fn show(&self, value: &Store) -> Option<String> {
        match value {
            Store::Memory => Some(quoted("memory")),
            Store::Folder(folder) => Path.show(folder),
        }
    }
}

/// Secret, which is never shown.
pub(super) struct SecretText;

impl ValueParser<Secret> for SecretText {
    fn read(&self, value: &Value) -> Result<Secret, Refusal> {
        match &value.raw {
            Raw::Text(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(Refusal { line: value.line, why: "the value must be a non-empty string".to_owned() }),
        }
    }

    fn show(&self, _: &Secret) -> Option<String> {
        None
    }
}

/// Optional value: `none` or an empty text for no value.
pub(super) struct Optional<F>(pub(super) F);

impl<T, F: ValueParser<T>> ValueParser<Option<T>> for Optional<F> {
    fn read(&self, value: &Value) -> Result<Option<T>, Refusal> {
        match &value.raw {
            Raw::Text(text) if text.is_empty() || text == NONE => Ok(None),
            _ => self.0.read(value).map(Some),
        }
    }

    fn show(&self, value: &Option<T>) -> Option<String> {
        match value {
            Some(value) => self.0.show(value),
            None => Some(quoted(NONE)),
        }
    }
}

const NONE: &str = "none";

/// Quotes a text for TOML, on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(character)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formerly, only the items of an array were counted.
    #[test]
    fn items_in_texts_and_arrays_are_counted() {
        let text = |count: usize| Raw::Text(vec!["RS256"; count].join(","));
        let value = |raw: Raw| Value { raw, line: None };
        for (raw, taken) in [
            (text(1_000), true),
            (text(1_001), false),
            (Raw::List(vec![value(text(500)), value(text(500))]), true),
            (Raw::List(vec![value(text(500)), value(text(501))]), false),
        ] {
            let read = List(Signing).read(&value(raw));
            assert_eq!(read.as_ref().map(Vec::len).ok(), taken.then_some(1_000));
            if let Err(refusal) = read {
                assert_eq!(refusal.why, "the list has more than 1000 items");
            }
        }
    }
}
