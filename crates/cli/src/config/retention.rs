//! Value parsers of retention rules.

use ssekit_log::Keep;

use super::Retention;
use super::value::{Raw, Refusal, Value};
use super::value_parser::{Count, Optional, Size, Time, ValueParser, quoted};

/// Limits of subscription events, as a text.
pub(super) struct SubscriptionRetention;

impl ValueParser<Retention> for SubscriptionRetention {
    fn read(&self, value: &Value) -> Result<Retention, Refusal> {
        match &value.raw {
            Raw::Text(text) if !text.split_whitespace().any(|word| word.starts_with("topic=")) => {
                from_text(&format!("topic=* {text}"), value)
            }
            _ => Err(value.refused("limits without a topic: 'records=10000 bytes=16MiB age=1d'")),
        }
    }

    fn show(&self, rule: &Retention) -> Option<String> {
        let words = members(rule).into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        Some(quoted(&words.map(|word| word.replace('"', "")).collect::<Vec<_>>().join(" ")))
    }
}

/// RetentionRules, each a table; or texts, separated by `;`: `topic=* records=1000 age=7d`.
pub(super) struct RetentionRules;

/// Members of a rule.
const MEMBERS: &str = "topic, records, bytes, age, last";

const RECORDS: Optional<Count> = Optional(Count(1, i64::MAX as u64));
const BYTES: Optional<Size> = Optional(Size(1, i64::MAX as u64));
const AGE: Optional<Time> = Optional(Time(1_000, 100 * 365 * 86_400_000));
const LAST: Optional<Count> = Optional(Count(1, Keep::LAST_PER_TOPIC as u64));

impl ValueParser<Vec<Retention>> for RetentionRules {
    const REPEATS: bool = true;

    fn read(&self, value: &Value) -> Result<Vec<Retention>, Refusal> {
        let rules: Vec<Retention> = match &value.raw {
            Raw::Text(text) => from_texts(text, value)?,
            Raw::List(list) => {
                let rules = list.iter().map(|rule| match &rule.raw {
                    Raw::Table(members) => from_members(members, rule).map(|rule| vec![rule]),
                    Raw::Text(text) => from_texts(text, rule),
                    _ => {
                        Err(rule.refused("a retention rule: { topic = \"*\", records = 1000, age = \"7d\" }"))
                    }
                });
                rules.collect::<Result<Vec<_>, _>>()?.concat()
            }
            _ => return Err(value.refused("a list of retention rules: [[retention]]")),
        };
        if rules.len() > MAX_RULES {
            let why = format!("there are {} retention rules; the limit is {MAX_RULES}", rules.len());
            return Err(Refusal { line: value.line, why });
        }
        Ok(rules)
    }

    fn show(&self, value: &Vec<Retention>) -> Option<String> {
        if value.is_empty() {
            return Some("[]".to_owned());
        }
        let rules: Vec<String> = value.iter().map(show).collect();
        Some(format!("[\n{}]", rules.concat()))
    }
}

/// Every update is compared with the rules.
const MAX_RULES: usize = ssekit_log::Retention::RULES - 1;

fn from_texts(text: &str, value: &Value) -> Result<Vec<Retention>, Refusal> {
    let rules = text.split(';').map(str::trim).filter(|rule| !rule.is_empty());
    rules.map(|rule| from_text(rule, value)).collect()
}

fn from_text(rule: &str, value: &Value) -> Result<Retention, Refusal> {
    let mut members = Vec::new();
    for word in rule.split_whitespace() {
        let Some((name, text)) = word.split_once('=') else {
            let example = "topic=* records=1000 age=7d";
            return Err(Refusal {
                line: value.line,
                why: format!("{word:?} has no value; a retention rule looks like {example:?}"),
            });
        };
        members.push((name.to_owned(), Value { raw: Raw::Text(text.to_owned()), line: value.line }));
    }
    from_members(&members, value)
}

fn from_members(members: &[(String, Value)], rule: &Value) -> Result<Retention, Refusal> {
    let mut topic = None;
    let mut kept = Retention { topic: String::new(), records: None, bytes: None, age: None, last: None };
    for (name, value) in members {
        let named = |refusal: Refusal| Refusal { why: format!("{name}: {}", refusal.why), ..refusal };
        match name.as_str() {
            "topic" => match &value.raw {
                Raw::Text(text) if !text.is_empty() => topic = Some(text.clone()),
                _ => return Err(named(value.refused("a topic, a URI template or *"))),
            },
            "records" => kept.records = RECORDS.read(value).map_err(named)?,
            "bytes" => kept.bytes = BYTES.read(value).map_err(named)?,
            "age" => kept.age = AGE.read(value).map_err(named)?,
            "last" => kept.last = LAST.read(value).map_err(named)?,
            other => {
                let why = format!("unknown key {other:?} in a retention rule; the keys are: {MEMBERS}");
                return Err(Refusal { line: value.line, why });
            }
        }
    }
    let Some(topic) = topic else {
        let why = "a retention rule needs a topic; \"*\" matches all topics".to_owned();
        return Err(Refusal { line: rule.line, why });
    };
    Ok(Retention { topic, ..kept })
}

fn show(rule: &Retention) -> String {
    let topic = [("topic", Some(quoted(&rule.topic)))];
    let given: Vec<String> = topic
        .into_iter()
        .chain(members(rule))
        .filter_map(|(name, value)| Some(format!("{name} = {}", value?)))
        .collect();
    format!("  {{ {} }},\n", given.join(", "))
}

/// Limits of a rule as TOML.
fn members(rule: &Retention) -> [(&'static str, Option<String>); 4] {
    [
        ("records", rule.records.and_then(|_| RECORDS.show(&rule.records))),
        ("bytes", rule.bytes.and_then(|_| BYTES.show(&rule.bytes))),
        ("age", rule.age.and_then(|_| AGE.show(&rule.age))),
        ("last", rule.last.and_then(|_| LAST.show(&rule.last))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formerly, only the items of a list of tables were counted.
    #[test]
    fn rules_in_texts_and_tables_are_counted() {
        let text = |count: usize| Raw::Text("topic=a;".repeat(count));
        let value = |raw: Raw| Value { raw, line: Some(3) };
        for (raw, taken) in [
            (text(64), true),
            (text(65), false),
            (Raw::List(vec![value(text(32)), value(text(32))]), true),
            (Raw::List(vec![value(text(32)), value(text(33))]), false),
        ] {
            let read = RetentionRules.read(&value(raw));
            assert_eq!(read.as_ref().map(Vec::len).ok(), taken.then_some(64));
            if let Err(refusal) = read {
                assert_eq!(refusal.why, "there are 65 retention rules; the limit is 64");
            }
        }
    }
}
