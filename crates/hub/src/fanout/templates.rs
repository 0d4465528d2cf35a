//! Index of templates by their literal prefixes.

use std::collections::HashMap;

use memchr::memchr;
use ssekit_mercure::{Kind, PreparedTopic, Selector};

use super::prefix_tree::PrefixTree;
use super::topic_index::PostingList;

/// Templates by their literal prefixes.
///
/// A topic is compared only with those that begin like it, and once with all templates of one
/// [shape](Selector::shape).
#[derive(Debug, Default)]
pub(super) struct Templates(PrefixTree<HashMap<Box<str>, Template>>);

#[derive(Debug)]
struct Template {
    /// One of the templates with this shape.
    selector: Selector,
    listed: PostingList,
}

impl Templates {
    /// Posting list of the templates with the shape of this one.
    pub(super) fn list(&mut self, template: &Selector) -> &mut PostingList {
        let node = self.0.make(template.literal_prefix().as_bytes());
        let of_shape = self.0.value_mut(node).entry(template.shape().into());
        &mut of_shape
            .or_insert_with(|| Template { selector: template.clone(), listed: PostingList::default() })
            .listed
    }

    /// Posting list of the templates with the shape of a topic that is itself a template.
    ///
    /// Not all of them have its text.
    pub(super) fn of_text(&self, topic: &str) -> Option<&PostingList> {
        // Every template has a brace, and no expansion has one.
        memchr(b'{', topic.as_bytes())?;
        let template = Selector::parse(topic).ok().filter(|selector| selector.kind() == Kind::Template)?;
        let node = self.0.find(template.literal_prefix().as_bytes())?;
        self.0.value(node).get(&*template.shape()).map(|template| &template.listed)
    }

    pub(super) fn remove(&mut self, template: &Selector) {
        let Some(node) = self.0.find(template.literal_prefix().as_bytes()) else { return };
        self.0.value_mut(node).remove(&*template.shape());
        self.0.release(node, HashMap::is_empty);
    }

    /// Posting list of each template that the topic is an expansion of.
    pub(super) fn matching<'a>(
        &'a self,
        topic: &'a PreparedTopic<'a>,
    ) -> impl Iterator<Item = &'a PostingList> {
        let these = self.0.path(topic.bytes()).flat_map(|node| self.0.value(node).values());
        these.filter(|template| template.selector.expands_to(topic)).map(|template| &template.listed)
    }
}
