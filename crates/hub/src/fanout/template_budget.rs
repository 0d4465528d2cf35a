//! Budget of templates: limits the cost of matching a topic, whatever subscribers ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use ssekit_mercure::{Kind, Limits, Selector};

use super::prefix_tree::{NodeId, PrefixTree, ROOT};
use crate::log_limit::LogLimit;

/// Templates of all subscribers, counted by the cost of one topic.
///
/// A topic is compared with each [shape](Selector::shape) of template whose literal prefix it begins with,
/// and each variable of a template is a pass over the topic. So templates with other prefixes add no cost,
/// and neither do templates that a subscriber has already.
#[derive(Debug)]
pub(crate) struct TemplateBudget {
    /// Maximum number of variables that one topic is compared with.
    most: u32,
    /// Maximum cost of matching one publication: [`Limits::matching`].
    matching: u64,
    held: Mutex<Held>,
    /// Largest number of variables that a topic would be compared with now.
    largest: Gauge,
    refused: Counter,
    log_limit: LogLimit,
}

#[derive(Debug, Default)]
struct Held {
    /// Number of uses of each shape.
    shapes: HashMap<Box<str>, u32>,
    prefixes: PrefixTree<Load>,
}

/// Variables of a prefix.
#[derive(Debug, Default)]
struct Load {
    /// Those of the templates with this prefix.
    own: u32,
    /// The largest number that a topic finds on its way further down.
    below: u32,
}

/// Admitted templates of a subscriber, until it is dropped.
#[derive(Debug)]
pub(crate) struct TemplatePermit {
    budget: Arc<TemplateBudget>,
    templates: Box<[Selector]>,
}

/// The templates exceed the budget of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TemplatesFull {
    /// Limit for subscribers of this kind.
    pub(crate) most: u32,
}

impl TemplateBudget {
    pub(crate) fn new(limits: &Limits, registry: &mut Registry) -> Arc<Self> {
        let (largest, refused) = (Gauge::default(), Counter::default());
        registry.register(
            "template_variables",
            "Largest number of template variables that one topic has to be matched with",
            largest.clone(),
        );
        registry.register(
            "template_subscriptions_refused",
            "Subscriptions refused with a retry time, because a topic would have to be matched with too \
             many template variables",
            refused.clone(),
        );
        let (most, matching) = (limits.hub_variables, limits.matching);
        Arc::new(Self {
            most,
            matching,
            held: Mutex::default(),
            largest,
            refused,
            log_limit: LogLimit::default(),
        })
    }

    /// Admits the templates of a subscriber.
    ///
    /// Subscribers without a token may use half of the budget, so that the others find room.
    pub(crate) fn admit(
        self: &Arc<Self>,
        selectors: &[Selector],
        has_token: bool,
    ) -> Result<TemplatePermit, TemplatesFull> {
        let templates =
            selectors.iter().filter(|selector| selector.kind() == Kind::Template).cloned().collect();
        let permit = TemplatePermit { budget: Arc::clone(self), templates };
        if permit.templates.is_empty() {
            return Ok(permit);
        }
        let most = if has_token { self.most } else { self.most / 2 };
        let mut held = self.held();
        let loads: Vec<u32> = permit.templates.iter().map(|template| held.add(template)).collect();
        self.show(&held);
        drop(held);
        if loads.iter().all(|load| *load <= most) {
            return Ok(permit);
        }
        self.refused.inc();
        if let Some(count) = self.log_limit.due("templates", LogLimit::OFTEN, Instant::now()) {
            tracing::warn!(
                count,
                max = most,
                has_token,
                "subscriptions refused, clients are told to retry: a topic would have to be matched with \
                 too many template variables"
            );
        }
        Err(TemplatesFull { most })
    }

    /// Cost of an update with these topics, if it exceeds the limit.
    ///
    /// It is the number of variables, each times the topic's length in pieces of 64 bytes.
    pub(crate) fn excess(&self, topics: &[Box<str>]) -> Option<u64> {
        let pieces = |topic: &str| (topic.len() / 64 + 1) as u64;
        let all: u64 = topics.iter().map(|topic| pieces(topic)).sum();
        let largest = u64::try_from(self.largest.get()).unwrap_or(0);
        if all.saturating_mul(largest) <= self.matching {
            return None;
        }
        let held = self.held();
        let cost: u64 = topics.iter().map(|topic| pieces(topic) * u64::from(held.variables(topic))).sum();
        (cost > self.matching).then_some(cost)
    }

    fn show(&self, held: &Held) {
        self.largest.set(held.load(ROOT).into());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TemplatePermit {
    fn drop(&mut self) {
        if self.templates.is_empty() {
            return;
        }
        let mut held = self.budget.held();
        self.templates.iter().for_each(|template| held.remove(template));
        self.budget.show(&held);
    }
}

impl Held {
    /// Adds a template.
    ///
    /// Returns the number of variables that a topic may be compared with because of it; 0 if its shape is
    /// known.
    fn add(&mut self, template: &Selector) -> u32 {
        let count = self.shapes.entry(template.shape().into()).or_insert(0);
        *count += 1;
        if *count > 1 {
            return 0;
        }
        let node = self.prefixes.make(template.literal_prefix().as_bytes());
        self.prefixes.value_mut(node).own += template.cost();
        self.pass_up(node);
        let above = std::iter::successors(self.prefixes.parent(node), |id| self.prefixes.parent(*id));
        self.load(node) + above.map(|id| self.prefixes.value(id).own).sum::<u32>()
    }

    fn remove(&mut self, template: &Selector) {
        let shape = template.shape();
        let Some(count) = self.shapes.get_mut(&*shape) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.shapes.remove(&*shape);
        let Some(node) = self.prefixes.find(template.literal_prefix().as_bytes()) else { return };
        self.prefixes.value_mut(node).own -= template.cost();
        self.pass_up(node);
        // A node without own templates passes on the number below it, so that nothing above changes when it
        // is removed.
        self.prefixes.release(node, |load| load.own == 0);
    }

    /// Variables of a node and of the heaviest path below it.
    fn load(&self, id: NodeId) -> u32 {
        let Load { own, below } = self.prefixes.value(id);
        own + below
    }

    /// Updates the number below this node and each node above it.
    fn pass_up(&mut self, node: NodeId) {
        let mut id = Some(node);
        while let Some(here) = id {
            let below = self.prefixes.children(here).map(|child| self.load(child)).max().unwrap_or(0);
            let before = std::mem::replace(&mut self.prefixes.value_mut(here).below, below);
            if here != node && before == below {
                return;
            }
            id = self.prefixes.parent(here);
        }
    }

    /// Variables of all templates whose prefix a topic begins with.
    fn variables(&self, topic: &str) -> u32 {
        self.prefixes.path(topic.as_bytes()).map(|id| self.prefixes.value(id).own).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(most: u32) -> Arc<TemplateBudget> {
        let limits = Limits { hub_variables: most, ..Limits::default() };
        TemplateBudget::new(&limits, &mut Registry::default())
    }

    fn selectors(texts: &[&str]) -> Vec<Selector> {
        texts.iter().map(|text| Selector::parse(text).unwrap()).collect()
    }

    #[test]
    fn what_no_topic_is_tried_with_together_does_not_count_together() {
        let budget = budget(4);
        let admit = |texts: &[&str]| budget.admit(&selectors(texts), true);
        let users: Vec<_> =
            (0..1000).map(|user| admit(&[&format!("/users/{user}/{{+x}}")]).unwrap()).collect();
        let _three = admit(&["/users/{a}", "/us{a}", "{a}"]).unwrap();
        assert!(admit(&["/u{b}"]).is_err(), "/users/1/x would be tried with five variables");
        let _other = admit(&["/other/{b}", "/other{b}"]).unwrap();
        drop(users);
        let _fourth = admit(&["/u{b}"]).unwrap();
    }

    #[test]
    fn a_shape_counts_once_and_is_admitted_however_full_it_is() {
        let budget = budget(8);
        let admit = |text: &str, has_token| budget.admit(&selectors(&[text]), has_token);
        let held = admit("{+a}{b*}{.c}{d}", false).unwrap();
        assert_eq!(admit("{x}", false).unwrap_err().most, 4, "half of all for those without a token");
        let _same = admit("{+v}{w*}{.x}{y}", false).unwrap();
        assert!(admit("{+v}{w*}{.x*}{y}", false).is_err(), "a modifier makes another shape");
        let _full = admit("{?x,y,z}x", true).unwrap();
        let _last = admit("{?x}", true).unwrap();
        assert!(admit("{?y}", true).is_err(), "where names are written they make another shape");
        drop(held);
        assert!(admit("{?y}", true).is_err(), "another subscriber holds the shape");
    }

    #[test]
    fn a_variable_with_a_maximum_length_counts_as_eight() {
        let budget = budget(17);
        let _two = budget.admit(&selectors(&["/{a:3}", "/{a:4}"]), true).unwrap();
        assert_eq!(budget.largest.get(), 16);
        assert!(budget.admit(&selectors(&["/{a:5}"]), true).is_err());
        assert!(budget.admit(&selectors(&["/{a}"]), true).is_ok());
    }

    #[test]
    fn templates_of_one_shape_count_the_same_whichever_comes_or_goes_first() {
        let budget = budget(100);
        let held = budget.admit(&selectors(&["/{a}/{b}"]), true).unwrap();
        let long = budget.admit(&selectors(&[&format!("/{{{}}}/{{b}}", "a".repeat(1000))]), true).unwrap();
        drop(held);
        assert_eq!(budget.largest.get(), 2);
        drop(long);
        assert_eq!(budget.largest.get(), 0);
        let named = budget.admit(&selectors(&[&format!("/{{?{}}}", "a".repeat(32))]), true).unwrap();
        assert_eq!(budget.largest.get(), 3, "a name that is written is a literal");
        drop(named);
    }

    #[test]
    fn a_refused_subscriber_takes_nothing() {
        let budget = budget(4);
        assert!(budget.admit(&selectors(&["/a/{x}", "/a/{x}{y}{z}{w}"]), true).is_err());
        assert_eq!((budget.largest.get(), budget.refused.get()), (0, 1));
        assert!(budget.admit(&selectors(&["/a/{x}{y}{z}{w}"]), true).is_ok());
    }

    #[test]
    fn an_update_costs_its_topics_times_the_variables_that_each_is_tried_with() {
        let limits = Limits { matching: 100, ..Limits::default() };
        let budget = TemplateBudget::new(&limits, &mut Registry::default());
        let _held = budget.admit(&selectors(&["/a{b}{c}", "/a/{+d}", "/b/{+d}"]), true).unwrap();
        let topics = |count, topic: String| vec![topic.into_boxed_str(); count];
        assert_eq!(budget.excess(&topics(33, "/a/1".into())), None);
        assert_eq!(budget.excess(&topics(34, "/a/1".into())), Some(102));
        assert_eq!(budget.excess(&topics(100, "/b/1".into())), None);
        assert_eq!(budget.excess(&topics(1000, "/c".into())), None);
        assert_eq!(budget.excess(&topics(17, format!("/a/{}", "1".repeat(64)))), Some(102));
    }

    proptest! {
        #[test]
        fn the_largest_load_is_that_of_the_topic_that_finds_most(
            texts in prop::collection::vec("[ab]{0,4}[{]x[}]([{]y[}])?[ab]{0,1}", 1..20),
            kept in prop::collection::vec(any::<bool>(), 20),
        ) {
            let budget = budget(1000);
            let held: Vec<_> = texts.iter().zip(kept).filter_map(|(text, is_kept)| {
                let permit = budget.admit(&selectors(&[text]), true).unwrap();
                is_kept.then_some((text, permit))
            }).collect();
            let shapes: std::collections::BTreeSet<String> =
                held.iter().map(|(text, _)| text.replace(['x', 'y'], "_")).collect();
            let tried = |topic: &str| -> u32 {
                let these = shapes.iter().filter(|shape| topic.starts_with(shape.split('{').next().unwrap()));
                these.map(|shape| shape.matches('_').count() as u32).sum()
            };
            let topics = (0..1 << 4).map(|bits| (0..4).map(|bit| if bits >> bit & 1 == 1 { 'a' } else { 'b' }).collect::<String>());
            let most = topics.inspect(|topic| assert_eq!(budget.held().variables(topic), tried(topic))).map(|topic| tried(&topic)).max();
            prop_assert_eq!(budget.largest.get(), i64::from(most.unwrap()));
            drop(held);
            prop_assert_eq!(budget.largest.get(), 0);
        }
    }
}
