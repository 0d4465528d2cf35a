use std::collections::{BTreeMap, HashMap};

use super::audience::Listed;
use crate::mercure::{PreparedTopic, Selector};

/// Templates, by what the topics begin with that they match: a topic is tried with those alone that begin as it does.
#[derive(Debug, Default)]
pub(super) struct Templates(BTreeMap<usize, HashMap<Box<str>, HashMap<Selector, Listed>>>);

impl Templates {
    /// The audiences of a template.
    pub(super) fn list(&mut self, template: &Selector) -> &mut Listed {
        let prefix = template.literal_prefix();
        let these = self.0.entry(prefix.len()).or_default().entry(prefix.into()).or_default();
        these.entry(template.clone()).or_default()
    }

    pub(super) fn remove(&mut self, template: &Selector) {
        let prefix = template.literal_prefix();
        let Some(of_length) = self.0.get_mut(&prefix.len()) else { return };
        let Some(these) = of_length.get_mut(prefix) else { return };
        these.remove(template);
        if these.is_empty() {
            of_length.remove(prefix);
        }
        if of_length.is_empty() {
            self.0.remove(&prefix.len());
        }
    }

    /// The audiences of each template that matches.
    pub(super) fn matching(&self, topic: &str) -> impl Iterator<Item = &Listed> {
        let prepared = PreparedTopic::new(topic);
        let of_length = self.0.range(..=topic.len());
        // A prefix is ASCII: none ends within a character of a topic that begins with it.
        let these = of_length.filter_map(move |(length, prefixes)| prefixes.get(topic.get(..*length)?));
        these
            .flatten()
            .filter(move |(template, _)| template.matches_prepared(topic, &prepared))
            .map(|(_, listed)| listed)
    }
}
