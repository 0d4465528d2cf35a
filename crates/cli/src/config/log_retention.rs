//! Retention of the log, by the rules of a configuration.

use ssekit_log::{Keep, Rule};
use ssekit_mercure::Selector;

use super::load::Loaded;
use super::problem::{Problem, Problems};
use super::{Retention, Store};

impl Loaded {
    /// Returns the retention rules for the log. In memory, updates without a rule have a limit too.
    ///
    /// # Errors
    /// All faults of the rules.
    pub(crate) fn log_retention(&self) -> Result<ssekit_log::Retention, Problems> {
        let problem = |what| Problem { origin: self.origins.of("retention"), what };
        // First, so that no other rule applies to subscription events.
        let of_subscriptions = keep(&self.config.subscriptions_retention);
        let mut rules = vec![ssekit_hub::hub::retention_rule(&self.config.hub_path, of_subscriptions)];
        let mut problems = Vec::new();
        for rule in &self.config.retention {
            let keep = keep(rule);
            match Selector::parse(&rule.topic) {
                Ok(selector) => {
                    rules.push(Rule::new(&*rule.topic, move |topic| selector.matches(topic), keep));
                }
                Err(error) => {
                    problems.push(problem(format!(
                        "{:?} is not a topic, a URI template or *: {error}",
                        rule.topic
                    )));
                }
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let rest = match self.config.store {
            Store::Memory => Keep { records: Some(100_000), bytes: Some(64 << 20), ..Keep::ALL },
            Store::Folder(_) => Keep::ALL,
        };
        let retention = ssekit_log::Retention::new(rules, rest);
        retention.map_err(|error| Problems(vec![problem(error.to_string())]))
    }
}

fn keep(rule: &Retention) -> Keep {
    Keep {
        records: rule.records,
        bytes: rule.bytes,
        age: rule.age,
        last_per_topic: rule.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX)),
    }
}
