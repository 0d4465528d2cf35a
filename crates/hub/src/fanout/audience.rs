use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use slab::Slab;

use super::frame::{Frame, Interest};
use super::templates::Templates;
use crate::mercure::{Kind, Selector};

/// Who gets what: from a frame's topics to the audiences that it is for.
///
/// An audience is all who asked for the same by the same right, so that what they may have is decided once for all of them. An
/// exact topic costs one lookup; a template is tried once, however many use it, and only on topics that begin as it does.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    audiences: Slab<Audience>,
    known: HashMap<Key, u32>,
    any: Listed,
    exact: HashMap<Selector, Listed>,
    templates: Templates,
}

/// All who asked for the same by the same right.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) interest: Interest,
    /// The subscribers.
    pub(super) members: Vec<u32>,
    /// Where it stands in the list of each of its selectors.
    places: Box<[u32]>,
    /// The frames for it, of those that are being passed on.
    pub(super) pending: Vec<u32>,
}

/// The audiences of a selector, and as their how manyeth selector.
#[derive(Debug, Default)]
pub(super) struct Listed(Vec<(u32, u32)>);

/// What makes an audience: the selectors, and which token.
#[derive(Clone, Debug)]
struct Key(Interest);

impl Audiences {
    /// Lets a subscriber in; gives its audience, and its place there.
    pub(super) fn join(&mut self, interest: Interest, subscriber: u32) -> (u32, u32) {
        let key = Key(interest);
        let audience = match self.known.get(&key) {
            Some(&audience) => audience,
            None => self.found(key),
        };
        let members = &mut self.audiences[audience as usize].members;
        members.push(subscriber);
        (audience, members.len() as u32 - 1)
    }

    /// Lets a subscriber go; gives the one that stands in its place now.
    pub(super) fn leave(&mut self, audience: u32, place: u32) -> Option<u32> {
        let members = &mut self.audiences[audience as usize].members;
        members.swap_remove(place as usize);
        let moved = members.get(place as usize).copied();
        if members.is_empty() {
            self.dissolve(audience);
        }
        moved
    }

    /// The subscribers whose tokens no longer verify.
    pub(super) fn revoked(&self) -> Vec<u32> {
        let revoked = self.audiences.iter().filter(|(_, audience)| audience.interest.is_revoked());
        revoked.flat_map(|(_, audience)| audience.members.iter().copied()).collect()
    }

    pub(super) fn get(&self, audience: u32) -> &Audience {
        &self.audiences[audience as usize]
    }

    /// Marks a frame as pending for all audiences that it is for; those for which it is the first are added to `reached`.
    pub(super) fn mark(&mut self, number: u32, frame: &Frame, reached: &mut Vec<u32>) {
        let Self { audiences, any, exact, templates, .. } = self;
        let mut mark = |listed: &Listed| {
            for &(id, _) in &listed.0 {
                let audience = &mut audiences[id as usize];
                if audience.pending.last() == Some(&number) || !audience.interest.may_read(frame) {
                    continue;
                }
                if audience.pending.is_empty() {
                    reached.push(id);
                }
                audience.pending.push(number);
            }
        };
        mark(any);
        for topic in &*frame.topics {
            if let Some(listed) = exact.get(&**topic) {
                mark(listed);
            }
            templates.matching(topic).for_each(&mut mark);
        }
    }

    /// Forgets what was pending.
    pub(super) fn clear(&mut self, audience: u32) {
        if let Some(audience) = self.audiences.get_mut(audience as usize) {
            audience.pending.clear();
        }
    }

    fn found(&mut self, key: Key) -> u32 {
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

    fn dissolve(&mut self, id: u32) {
        let Audience { interest, places, .. } = self.audiences.remove(id as usize);
        for (selector, &place) in interest.selectors.iter().zip(&places) {
            let listed = self.list(selector);
            let moved = listed.remove(place);
            let empty = listed.0.is_empty();
            if let Some((audience, number)) = moved
                && let Some(audience) = self.audiences.get_mut(audience as usize)
            {
                audience.places[number as usize] = place;
            }
            if empty {
                self.unlist(selector);
            }
        }
        self.known.remove(&Key(interest));
    }

    fn list(&mut self, selector: &Selector) -> &mut Listed {
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

impl Listed {
    fn push(&mut self, entry: (u32, u32)) -> u32 {
        self.0.push(entry);
        self.0.len() as u32 - 1
    }

    /// Removes the entry at that place; gives the one that stands there now.
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
    /// Which token it is: while the key lives, no other has its address.
    fn token(&self) -> Option<usize> {
        self.0.token.as_ref().map(|token| Arc::as_ptr(token) as usize)
    }
}
