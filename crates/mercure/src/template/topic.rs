//! Matching of one topic: the offsets in the topic that the parts of a template lead to.
//!
//! Each part moves all offsets in one pass, 64 at a time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use memchr::memchr;
use smallvec::SmallVec;

use super::places::Places;
use super::{Modifier, Operator, Variable, is_triplet};

/// A topic that is compared with any number of selectors.
pub struct Topic<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether a character of it may be percent-encoded, in three bytes or more.
    encoded: bool,
    /// Offsets of the properties that templates have asked for.
    known: RefCell<Vec<(Has, Rc<Places>)>>,
    steps: Cell<u64>,
}

/// Property of an offset in a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    Byte(u8),
    Class(Class),
    /// A percent-encoded triplet begins there (RFC 3986, section 2.1).
    Triplet,
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedTopic").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl<'a> Topic<'a> {
    /// Prepares a topic.
    pub fn new(topic: &'a str) -> Self {
        let bytes = topic.as_bytes();
        let encoded = memchr(b'%', bytes).is_some();
        Self { bytes, encoded, known: RefCell::default(), steps: Cell::new(0) }
    }

    /// The bytes of the topic.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Cost of matching so far, which is the same on every machine.
    ///
    /// A step is one operation on 64 bytes of the topic.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(super) fn count(&self, passes: usize) {
        self.steps.set(self.steps.get() + (passes * Places::words(self.bytes.len())) as u64);
    }

    /// Offsets that have this property.
    fn places_of(&self, has: Has) -> Rc<Places> {
        let mut known = self.known.borrow_mut();
        if let Some((_, places)) = known.iter().find(|(known, _)| *known == has) {
            return Rc::clone(places);
        }
        self.count(BY_BYTES);
        let mut places = Places::none(self.bytes.len());
        for (at, byte) in self.bytes.iter().enumerate() {
            let here = match has {
                Has::Byte(wanted) => *byte == wanted,
                Has::Class(class) => class.has(*byte),
                Has::Triplet => *byte == b'%' && is_triplet(&self.bytes[at..]),
            };
            if here {
                places.add(at);
            }
        }
        let places = Rc::new(places);
        known.push((has, Rc::clone(&places)));
        places
    }

    /// Offsets behind a literal that begins at one of these offsets.
    ///
    /// The literal may be unchanged, or encoded as in an expansion (RFC 6570, section 3.1).
    pub(super) fn after_literal(&self, places: &Places, literal: &[u8]) -> Places {
        let mut places = places.clone();
        let mut literal = literal;
        // Byte by byte for all offsets at once, until few are left.
        while literal.is_ascii()
            && !places.are_few()
            && let Some((byte, rest)) = literal.split_first()
        {
            places = self.after_byte(&places, *byte);
            literal = rest;
        }
        if literal.is_empty() {
            return places;
        }
        self.count(if places.are_few() { 1 } else { BY_BYTES });
        let mut after = Places::none(self.bytes.len());
        for at in places.iter() {
            let rest = &self.bytes[at..];
            if rest.starts_with(literal) {
                after.add(at + literal.len());
            } else if let Some(length) = encoded_length(rest, literal) {
                after.add(at + length);
            }
        }
        after
    }

    pub(super) fn after_expression(
        &self,
        before: Places,
        operator: Operator,
        variables: &[Variable],
        text: &[u8],
    ) -> Places {
        // `none`: no variable so far; `some`: at least one. Each variable may be undefined, and is then left
        // out.
        let none = before;
        let mut some = Places::none(self.bytes.len());
        for variable in variables {
            self.count(2);
            let mut start =
                if operator.first == 0 { none.clone() } else { self.after_byte(&none, operator.first) };
            start.join(&self.after_byte(&some, operator.separator));
            if !start.is_empty() {
                some.join(&self.after_variable(start, operator, variable, text));
            }
        }
        some.join(&none);
        some
    }

    fn after_variable(&self, start: Places, operator: Operator, variable: &Variable, text: &[u8]) -> Places {
        // A list without `*` is joined by commas. An exploded list or object has a part for each member.
        let extra = match variable.modifier {
            Modifier::None => [b',', b','],
            Modifier::Explode => [operator.separator, b'='],
            Modifier::Prefix(_) => [0, 0],
        };
        let class = Class { reserved: operator.reserved, extra };
        if let Modifier::Explode = variable.modifier {
            return self.after_run(start, class);
        }
        let mut after = Places::none(self.bytes.len());
        let mut start = start;
        if operator.named {
            let named = self.after_literal(&start, variable.name(text));
            if operator.separator == b';' {
                // With this operator, an empty value has no `=`.
                after.join(&named);
            }
            start = self.after_byte(&named, b'=');
        }
        after.join(&match variable.modifier {
            Modifier::Prefix(most) => self.after_few(start, class, usize::from(most)),
            _ => self.after_run(start, class),
        });
        after
    }

    fn after_byte(&self, places: &Places, byte: u8) -> Places {
        self.count(1);
        if places.are_few() {
            let mut after = Places::none(self.bytes.len());
            for at in places.iter().filter(|at| self.bytes.get(*at) == Some(&byte)) {
                after.add(at + 1);
            }
            return after;
        }
        let mut here = places.clone();
        here.keep(&self.places_of(Has::Byte(byte)));
        here.next()
    }

    /// Offsets behind any number of characters of a class.
    fn after_run(&self, start: Places, class: Class) -> Places {
        if start.is_empty() {
            return start;
        }
        let plain = self.places_of(Has::Class(class));
        let mut reached = start.clone();
        if !self.encoded {
            self.count(1);
            reached.run(&plain);
            return reached;
        }
        self.count(6);
        let triplets = self.places_of(Has::Triplet);
        let mut through = (*plain).clone();
        through.join(&triplets);
        reached.run(&through);
        // A triplet leads to the offset behind it. Its second and third byte keep only the offsets of the
        // start.
        let second = triplets.next();
        let third = second.next();
        reached.remove(&second);
        reached.remove(&third);
        let mut in_second = start.clone();
        in_second.keep(&second);
        let mut in_third = start;
        in_third.keep(&third);
        reached.join(&in_third);
        reached.join(&in_second.next());
        reached.join(&in_second);
        reached
    }

    /// Offsets behind at most `most` characters of a class; an encoded character counts as one.
    fn after_few(&self, start: Places, class: Class, most: usize) -> Places {
        if !self.encoded && most >= self.bytes.len() {
            return self.after_run(start, class);
        }
        let Some(first) = start.iter().next() else { return start };
        self.count(BY_BYTES);
        // The smallest number of characters that leads to each offset.
        let mut fewest: SmallVec<[usize; 128]> = SmallVec::from_elem(usize::MAX, self.bytes.len() + 1);
        let mut after = start.clone();
        for at in first..self.bytes.len() {
            let so_far = if start.has(at) { 0 } else { fewest[at] };
            if so_far >= most {
                continue;
            }
            let length = if class.has(self.bytes[at]) { 1 } else { encoded_character(&self.bytes[at..]) };
            if length > 0 {
                fewest[at + length] = fewest[at + length].min(so_far + 1);
                after.add(at + length);
            }
        }
        after
    }
}

/// Characters that a value may have without encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class {
    reserved: bool,
    extra: [u8; 2],
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
            b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')'
            | b'*' | b'+' | b',' | b';' | b'=' => self.reserved || self.extra.contains(&byte),
            _ => false,
        }
    }
}

/// Byte of a percent-encoded triplet.
fn triplet(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match bytes {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// Length of the encoded character at the beginning of these bytes: a triplet for each of its bytes in UTF-8.
fn encoded_character(bytes: &[u8]) -> usize {
    let Some(lead) = triplet(bytes) else { return 0 };
    let following = match lead {
        0xC0..=0xDF => 1,
        0xE0..=0xEF => 2,
        0xF0..=0xF7 => 3,
        _ => 0,
    };
    let mut length = 3;
    for _ in 0..following {
        match triplet(&bytes[length..]) {
            Some(0x80..=0xBF) => length += 3,
            _ => break,
        }
    }
    length
}

/// Length of the literal at the beginning of the text, whose characters outside ASCII are encoded.
fn encoded_length(text: &[u8], literal: &[u8]) -> Option<usize> {
    if literal.is_ascii() {
        return None;
    }
    let mut at = 0;
    for byte in literal {
        if byte.is_ascii() {
            (text.get(at) == Some(byte)).then_some(())?;
            at += 1;
        } else {
            (triplet(text.get(at..)?) == Some(*byte)).then_some(())?;
            at += 3;
        }
    }
    Some(at)
}

/// Number of steps that a pass counts which reads the topic byte by byte.
const BY_BYTES: usize = 16;
