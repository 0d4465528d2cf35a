//! Configuration file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings;
use super::value::{Raw, Value};

/// Mistake in a file, with its line.
#[derive(Debug, PartialEq)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) what: String,
}

/// Maximum size in bytes.
pub(super) const MAX_SIZE: u64 = 1 << 20;

/// Reads the settings of a file, by name.
pub(super) fn read(text: &str) -> (Vec<(&'static str, Value)>, Vec<Mistake>) {
    let mut file = File { text, found: Vec::new(), mistakes: Vec::new() };
    match DeTable::parse(text) {
        Ok(table) => file.table("", table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let what = format!("invalid TOML: {}", error.message());
            file.mistakes.push(Mistake { line: file.line(at), what });
        }
    }
    (file.found, file.mistakes)
}

struct File<'a> {
    text: &'a str,
    found: Vec<(&'static str, Value)>,
    mistakes: Vec<Mistake>,
}

impl File<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let line = self.line(name.span().start);
            if let Some(setting) = settings::find(&key) {
                let value = self.value(value);
                self.found.push((setting.key, Value { line: Some(line), ..value }));
                continue;
            }
            let below = format!("{key}.");
            let is_prefix = settings::all().any(|setting| setting.key.starts_with(&below));
            match value.get_ref() {
                DeValue::Table(table) if is_prefix => self.table(&below, table),
                _ if is_prefix => {
                    self.mistakes.push(Mistake {
                        line,
                        what: format!("`{key}` is a table and needs no value: write [{key}]"),
                    });
                }
                _ => self.mistakes.push(Mistake { line, what: unknown(&key) }),
            }
        }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Boolean(truth) => Raw::Boolean(*truth),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_or_else(|_| Raw::Other(number.to_string()), Raw::Integer)
            }
            DeValue::Float(number) => Raw::Other(number.to_string()),
            DeValue::Datetime(date) => Raw::Other(date.to_string()),
            DeValue::Array(list) => Raw::List(list.iter().map(|value| self.value(value)).collect()),
            DeValue::Table(table) => {
                let members = table.iter().map(|(name, value)| (name.to_string(), self.value(value)));
                Raw::Table(members.collect())
            }
        };
        Value { raw, line: Some(self.line(value.span().start)) }
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
    }
}

/// Message for an unknown setting, with the most similar name.
pub(super) fn unknown(key: &str) -> String {
    match nearest(key) {
        Some(nearest) => format!("unknown setting `{key}`; did you mean `{nearest}`?"),
        None => format!("unknown setting `{key}`; `ssekit serve --print` shows all settings"),
    }
}

/// Returns the setting with the most similar name, if one is similar.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    // The right name in another table.
    let elsewhere = settings::all().find(|setting| name(setting.key) == name(key));
    let distance = |setting: &settings::Setting| {
        // The computation is quadratic, and a name may have any length.
        if key.len() > MAX_NAME { usize::MAX } else { strsim::osa_distance(setting.key, key) }
    };
    let close =
        settings::all().map(|setting| (distance(setting), setting)).min_by_key(|(distance, _)| *distance);
    let close = close.filter(|(distance, setting)| *distance <= (setting.key.len() / 4).max(2));
    close.map(|(_, setting)| setting).or(elsewhere).map(|setting| setting.key)
}

/// Maximum length in bytes of a name that is compared; no setting has a longer name.
const MAX_NAME: usize = 64;
