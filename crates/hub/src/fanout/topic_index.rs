//! Topic index: finds the audiences of a frame by its topics.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use slab::Slab;
use ssekit_mercure::{Kind, PreparedTopic, Selector};

use super::frame::{Frame, Interest};
use super::templates::Templates;

/// Topic index: finds the audiences of a frame by its topics.
///
/// An audience is all subscribers with the same selectors and the same token, so that access is decided once
/// for all of them. An exact topic costs one lookup. A template is tried once, for all audiences with a
/// template of its shape, and only with topics that begin like it.
#[derive(Debug, Default)]
pub(super) struct TopicIndex {
    audiences: Slab<Audience>,
    known: HashMap<Key, u32>,
    any: PostingList,
    exact: HashMap<Selector, PostingList>,
    templates: Templates,
}

/// All subscribers with the same selectors and the same token.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) interest: Interest,
    /// Slots of the subscribers.
    pub(super) members: Vec<u32>,
    /// Index of this audience in the posting list of each of its selectors.
    places: Box<[u32]>,
    /// Numbers of the frames for it, among those that are being delivered.
    pub(super) pending: Vec<u32>,
}

/// Posting list of a selector: (audience, index of this selector within that audience).
#[derive(Debug, Default)]
pub(super) struct PostingList(Vec<(u32, u32)>);

/// Identity of an audience: the selectors and the token.
#[derive(Clone, Debug)]
struct Key(Interest);

impl TopicIndex {
    /// Adds a subscriber; returns its audience, and its index there.
    pub(super) fn join(&mut self, interest: Interest, subscriber: u32) -> (u32, u32) {
        let key = Key(interest);
        let audience = match self.known.get(&key) {
            Some(&audience) => audience,
            None => self.insert(key),
        };
        let members = &mut self.audiences[audience as usize].members;
        members.push(subscriber);
        (audience, members.len() as u32 - 1)
    }

    /// Removes a subscriber; returns the one that takes its index.
    pub(super) fn leave(&mut self, audience: u32, place: u32) -> Option<u32> {
        let members = &mut self.audiences[audience as usize].members;
        members.swap_remove(place as usize);
        let moved = members.get(place as usize).copied();
        if members.is_empty() {
            self.remove_audience(audience);
        }
        moved
    }

    /// Returns the subscribers whose tokens no longer verify.
    pub(super) fn revoked(&self) -> Vec<u32> {
        let revoked = self.audiences.iter().filter(|(_, audience)| audience.interest.is_revoked());
        revoked.flat_map(|(_, audience)| audience.members.iter().copied()).collect()
    }

    pub(super) fn get(&self, audience: u32) -> &Audience {
        &self.audiences[audience as usize]
    }

    /// Marks a frame as pending for all its audiences; returns the number of steps.
    ///
    /// Audiences without a pending frame so far are added to `reached`. The steps are those of
    /// [`PreparedTopic::steps`].
    pub(super) fn mark(&mut self, number: u32, frame: &Frame, reached: &mut Vec<u32>) -> u64 {
        let Self { audiences, any, exact, templates, .. } = self;
        let mut steps = 1;
        let mut mark = |audiences: &mut Slab<Audience>, id: u32| {
            let audience = &mut audiences[id as usize];
            steps += 1;
            if audience.pending.last() == Some(&number) || !audience.interest.may_read(frame) {
                return;
            }
            if audience.pending.is_empty() {
                reached.push(id);
            }
            audience.pending.push(number);
        };
        any.ids().for_each(|id| mark(audiences, id));
        let mut tried = 0;
        for topic in &*frame.topics {
            if let Some(listed) = exact.get(&**topic) {
                listed.ids().for_each(|id| mark(audiences, id));
            }
            let prepared = PreparedTopic::new(topic);
            templates.matching(&prepared).flat_map(PostingList::ids).for_each(|id| mark(audiences, id));
            tried += prepared.steps();
            for &(id, number) in templates.of_text(topic).map_or(&[][..], |listed| &listed.0) {
                if audiences[id as usize].interest.selectors[number as usize].text() == &**topic {
                    mark(audiences, id);
                }
            }
        }
        steps + tried
    }

    /// Clears the pending frames.
    pub(super) fn clear(&mut self, audience: u32) {
        if let Some(audience) = self.audiences.get_mut(audience as usize) {
            audience.pending.clear();
        }
    }

    fn insert(&mut self, key: Key) -> u32 {
        let interest = key.0.clone();
        let id = self.audiences.vacant_key() as u32;
        let places = interest
            .selectors
            .iter()
            .zip(0..)
            .map(|(selector, number)| self.list(selector).push((id, number)))
            .collect();
        self.audiences.insert(Audience { interest, members: Vec::new(), places, pending: Vec::new() });
        self.known.insert(key, id);
        id
    }

    fn remove_audience(&mut self, id: u32) {
        let interest = self.audiences[id as usize].interest.clone();
        for (number, selector) in interest.selectors.iter().enumerate() {
            let place = self.audiences[id as usize].places[number];
            let listed = self.list(selector);
            let moved = listed.remove(place);
            let empty = listed.0.is_empty();
            // An audience may be several times in one list, with templates of one shape: then its own entry
            // may move.
            if let Some((audience, number)) = moved {
                self.audiences[audience as usize].places[number as usize] = place;
            }
            if empty {
                self.unlist(selector);
            }
        }
        self.audiences.remove(id as usize);
        self.known.remove(&Key(interest));
    }

    fn list(&mut self, selector: &Selector) -> &mut PostingList {
        match selector.kind() {
            Kind::Any => &mut self.any,
            Kind::Exact => self.exact.entry(selector.clone()).or_default(),
            Kind::Template => self.templates.list(selector),
        }
    }

    fn unlist(&mut self, selector: &Selector) {
        match selector.kind() {
            Kind::Any => {}
            Kind::Exact => drop(self.exact.remove(selector)),
            Kind::Template => self.templates.remove(selector),
        }
    }
}

impl PostingList {
    fn ids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(audience, _)| *audience)
    }

    fn push(&mut self, entry: (u32, u32)) -> u32 {
        self.0.push(entry);
        self.0.len() as u32 - 1
    }

    /// Removes the entry at that index; returns the entry that takes its place.
    fn remove(&mut self, place: u32) -> Option<(u32, u32)> {
        self.0.swap_remove(place as usize);
        self.0.get(place as usize).copied()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.selectors == other.0.selectors && self.token() == other.token()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.selectors.hash(state);
        self.token().hash(state);
    }
}

impl Key {
    /// Identity of the token: while the key lives, no other token has its address.
    fn token(&self) -> Option<usize> {
        self.0.token.as_ref().map(|token| Arc::as_ptr(token) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use ssekit_log::{Entry, Epoch, Position, Record};
    use ssekit_mercure::Ids;

    use super::*;

    fn interest(selectors: &[String]) -> Interest {
        Interest::new(selectors.iter().map(|text| Selector::parse(text).unwrap()).collect(), None)
    }

    fn frame(topics: &[String]) -> Frame {
        let topics = topics.iter().map(|topic| topic.clone().into_boxed_str()).collect();
        let record = Record { topics, private: false, id: None, body: Bytes::from_static(b"data: x\n\n") };
        let entry = Entry { position: Position(1), time: SystemTime::UNIX_EPOCH, record };
        Frame::new(entry, &Ids::new(Epoch([0; 16])))
    }

    /// Number of steps to find the audiences of an update.
    fn steps(audiences: &mut TopicIndex, topics: &[String]) -> u64 {
        let mut reached = Vec::new();
        let steps = audiences.mark(0, &frame(topics), &mut reached);
        reached.iter().for_each(|audience| audiences.clear(*audience));
        steps
    }

    fn a_text() -> impl Strategy<Value = String> {
        "(/(a|b|\\{x\\}|\\{y\\}|\\{\\+x\\}|\\{x:1\\}|\\{\\?x\\}|\\{\\?y\\}|\\?x=|aa)){1,3}|\\*"
    }

    proptest! {
        #[test]
        fn an_update_reaches_those_whose_selectors_select_it_whoever_has_gone(
            all in vec((vec(a_text(), 1..4), any::<bool>()), 1..12),
            topics in vec(a_text(), 1..3),
        ) {
            let mut audiences = TopicIndex::default();
            let mut joined = Vec::new();
            for (subscriber, (selectors, stays)) in (0..).zip(&all) {
                joined.push((audiences.join(interest(selectors), subscriber), subscriber, *stays));
            }
            let mut here: Vec<_> = joined.iter().map(|(place, subscriber, _)| (*subscriber, *place)).collect();
            for (_, subscriber, _) in joined.iter().filter(|(.., stays)| !stays) {
                let index = here.iter().position(|(here, _)| here == subscriber).unwrap();
                let (_, (audience, place)) = here.remove(index);
                if let Some(moved) = audiences.leave(audience, place) {
                    here.iter_mut().find(|(here, _)| *here == moved).unwrap().1.1 = place;
                }
            }
            let mut reached = Vec::new();
            audiences.mark(0, &frame(&topics), &mut reached);
            let mut found: Vec<u32> = reached.iter().flat_map(|id| audiences.get(*id).members.clone()).collect();
            found.sort_unstable();
            let selects = |selectors: &[String]| {
                let selects = |text: &String| {
                    let selector = Selector::parse(text).unwrap();
                    topics.iter().any(|topic| selector.matches(topic))
                };
                selectors.iter().any(selects)
            };
            let expected: Vec<u32> =
                (0..).zip(&all).filter(|(_, (selectors, stays))| *stays && selects(selectors)).map(|(subscriber, _)| subscriber).collect();
            prop_assert_eq!(found, expected, "{:?} on {:?}", all, topics);
        }
    }

    #[test]
    fn templates_that_lack_a_literal_of_the_topic_are_rejected_by_that() {
        let mut audiences = TopicIndex::default();
        let variables: String = (0..32).map(|number| format!("{{v{number}:9999}}")).collect();
        for subscriber in 0..1000 {
            let of_one = (0..8).map(|number| match number % 2 {
                0 => format!("{variables}#{subscriber}.{number}!"),
                _ => format!("{{+start}}!{subscriber}.{number}{variables}").replace("{v0:9999}", ""),
            });
            audiences.join(interest(&of_one.collect::<Vec<_>>()), subscriber);
        }
        let ordinary = steps(&mut audiences, &["https://example.com/books/1234567890?page=1".to_owned()]);
        assert!(ordinary < 3 * 8000, "{ordinary} steps for 8,000 templates");
        let long: Vec<_> =
            (0..90).map(|number| format!("https://example.com/{number}/{}", "x".repeat(980))).collect();
        let many = steps(&mut audiences, &long);
        assert!(many < 90 * 3 * 8000 * 16, "{many} steps for 90 topics of 16 pieces");
    }

    #[test]
    fn templates_equal_up_to_names_are_tried_once() {
        let mut audiences = TopicIndex::default();
        for subscriber in 0..1000 {
            let of_one = (0..8)
                .map(|number| (0..32).map(|name| format!("{{+v{subscriber}_{number}_{name}}}")).collect());
            audiences.join(interest(&of_one.collect::<Vec<String>>()), subscriber);
        }
        let ordinary = steps(&mut audiences, &["https://example.com/books/1234567890".to_owned()]);
        // Eight entries per audience, for the only template.
        assert!((8000..8000 + 32 * 20).contains(&ordinary), "{ordinary} steps");
    }

    #[test]
    fn a_template_takes_a_bounded_number_of_steps_for_64_bytes_of_a_topic_and_each_pass_that_it_counts() {
        let name = format!("{{;{}}}", "a".repeat(100));
        let specs = [
            "{x}", "{+x}", "{x*}", "{x:3}", "{+x:700}", "{x:9999}", "{/x}", "{;x}", "{?x*}", "{#x}", "a{x}",
            &name,
        ];
        let topics = [
            "a".repeat(1000),
            "%C3%A9".repeat(166),
            "/;x=a?x=%41".repeat(90),
            format!(";{}=", "a".repeat(100)).repeat(9),
        ];
        for (spec, topic) in specs.iter().flat_map(|spec| topics.iter().map(move |topic| (spec, topic))) {
            let template = format!("{{+start}}{}{{+end}}", spec.repeat(20));
            let cost = u64::from(Selector::parse(&template).unwrap().cost());
            let mut audiences = TopicIndex::default();
            audiences.join(interest(&[template]), 0);
            let (steps, pieces) =
                (steps(&mut audiences, std::slice::from_ref(topic)), topic.len() as u64 / 64 + 1);
            // In addition, each topic is searched once for bytes and classes.
            assert!(
                steps <= pieces * (cost * 16 + 200),
                "{spec} on {topic:.20}: {steps} steps, {pieces} pieces, cost {cost}"
            );
        }
    }
}
