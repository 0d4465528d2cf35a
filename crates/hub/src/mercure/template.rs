use std::cell::RefCell;
use std::rc::Rc;

use smallvec::SmallVec;

/// A URI template (RFC 6570, all four levels), to match with: which topics are an expansion of it, for some values.
///
/// It holds places in the text that it was parsed from, which its owner keeps.
///
/// Matching walks through the template once and keeps the set of places in the topic that it may have come to, a bit each. A
/// variable moves that set in one pass over the topic, so that nothing is tried twice. In a long topic a pass takes 64 places at once.
pub(crate) struct Template {
    parts: Box<[Part]>,
    variables: Box<[Variable]>,
}

enum Part {
    Literal {
        start: u16,
        end: u16,
    },
    /// So many variables, which follow those of the expressions before it.
    Expression {
        operator: Operator,
        variables: u16,
    },
}

struct Variable {
    start: u16,
    end: u16,
    modifier: Modifier,
}

#[derive(Clone, Copy)]
enum Modifier {
    None,
    Prefix(u16),
    Explode,
}

/// How an expression expands (RFC 6570, appendix A).
#[derive(Clone, Copy)]
struct Operator {
    /// Before the first variable; 0 is nothing.
    first: u8,
    /// Between variables.
    separator: u8,
    /// Variables are written `name=value`.
    named: bool,
    /// Reserved characters are not encoded.
    reserved: bool,
}

impl Operator {
    const SIMPLE: Self = Self { first: 0, separator: b',', named: false, reserved: false };

    fn of(byte: u8) -> Option<Self> {
        let operator = |first, separator| Self { first, separator, ..Self::SIMPLE };
        Some(match byte {
            b'+' => Self { reserved: true, ..Self::SIMPLE },
            b'#' => Self { reserved: true, ..operator(b'#', b',') },
            b'.' | b'/' => operator(byte, byte),
            b';' => Self { named: true, ..operator(b';', b';') },
            b'?' | b'&' => Self { named: true, ..operator(byte, b'&') },
            _ => return None,
        })
    }
}

impl Template {
    /// Nothing when the text is no template, or has no variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        // Places are held in 16 bits.
        u16::try_from(bytes.len()).ok()?;
        let mut parts = Vec::new();
        let mut variables = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let start = at;
            if bytes[at] == b'{' {
                let end = at + bytes[at..].iter().position(|byte| *byte == b'}')?;
                let operator = Operator::of(bytes[at + 1]);
                let list = at + 1 + usize::from(operator.is_some());
                let before = variables.len();
                let mut from = list;
                for spec in bytes[list..end].split(|byte| *byte == b',') {
                    variables.push(Variable::parse(spec, from)?);
                    from += spec.len() + 1;
                }
                parts.push(Part::Expression {
                    operator: operator.unwrap_or(Operator::SIMPLE),
                    variables: (variables.len() - before) as u16,
                });
                at = end + 1;
            } else {
                while at < bytes.len() && bytes[at] != b'{' {
                    at += literal(&bytes[at..])?;
                }
                parts.push(Part::Literal { start: start as u16, end: at as u16 });
            }
        }
        (!variables.is_empty()).then(|| Self { parts: parts.into(), variables: variables.into() })
    }

    pub(crate) fn variables(&self) -> usize {
        self.variables.len()
    }

    /// What each match begins with, in whichever way its literals are written.
    pub(crate) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        match self.parts.first() {
            Some(Part::Literal { start, end }) => {
                let literal = &text[usize::from(*start)..usize::from(*end)];
                let plain = literal.bytes().position(|byte| !byte.is_ascii()).unwrap_or(literal.len());
                &literal[..plain]
            }
            _ => "",
        }
    }

    pub(crate) fn matches(&self, text: &str, topic: &Topic<'_>) -> bool {
        if !topic.bytes.starts_with(self.prefix(text).as_bytes()) {
            return false;
        }
        let text = text.as_bytes();
        let mut places = Places::start(topic.bytes.len());
        let mut variables = &self.variables[..];
        for part in &self.parts {
            places = match part {
                Part::Literal { start, end } => {
                    topic.after_literal(&places, &text[usize::from(*start)..usize::from(*end)])
                }
                Part::Expression { operator, variables: count } => {
                    let (these, rest) = variables.split_at(usize::from(*count));
                    variables = rest;
                    topic.after_expression(places, *operator, these, text)
                }
            };
            if places.is_empty() {
                return false;
            }
        }
        places.has(topic.bytes.len())
    }
}

impl Variable {
    /// A variable's name and modifier (RFC 6570, section 2.3), which stand at `from`.
    fn parse(spec: &[u8], from: usize) -> Option<Self> {
        let (name, modifier) = match spec {
            [name @ .., b'*'] => (name, Modifier::Explode),
            _ => match spec.iter().position(|byte| *byte == b':') {
                Some(colon) => (&spec[..colon], Modifier::Prefix(max_length(&spec[colon + 1..])?)),
                None => (spec, Modifier::None),
            },
        };
        let mut at = 0;
        let mut after_dot = true;
        while at < name.len() {
            match name[at] {
                b'.' if !after_dot => {
                    after_dot = true;
                    at += 1;
                    continue;
                }
                byte if byte.is_ascii_alphanumeric() || byte == b'_' => at += 1,
                b'%' if is_triplet(&name[at..]) => at += 3,
                _ => return None,
            }
            after_dot = false;
        }
        (!after_dot).then_some(Self { start: from as u16, end: (from + name.len()) as u16, modifier })
    }

    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[usize::from(self.start)..usize::from(self.end)]
    }
}

/// 1 to 9999, without leading zeros.
fn max_length(digits: &[u8]) -> Option<u16> {
    let is_length =
        matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() < 4 && rest.iter().all(u8::is_ascii_digit));
    is_length.then(|| digits.iter().fold(0, |length, digit| length * 10 + u16::from(digit - b'0')))
}

/// How long the literal is that stands here, if one may (RFC 6570, section 2.1).
fn literal(bytes: &[u8]) -> Option<usize> {
    match bytes[0] {
        b'%' => is_triplet(bytes).then_some(3),
        0..=b' ' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7F => None,
        _ => Some(1),
    }
}

/// A topic that is matched, by any number of templates.
pub(crate) struct Topic<'a> {
    bytes: &'a [u8],
    /// It is worth to look at it in words of places: it is long, and no character of it takes several bytes.
    words: bool,
    /// Where it has what, as far as somebody has asked.
    known: RefCell<Vec<(What, Rc<Places>)>>,
}

/// What a place in a topic may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Byte(u8),
    Class(Class),
}

impl<'a> Topic<'a> {
    pub(crate) fn new(topic: &'a str) -> Self {
        let bytes = topic.as_bytes();
        let words = bytes.len() >= LONG && !bytes.contains(&b'%');
        Self { bytes, words, known: RefCell::default() }
    }

    /// Where it has this.
    fn places_of(&self, what: What) -> Rc<Places> {
        let mut known = self.known.borrow_mut();
        if let Some((_, places)) = known.iter().find(|(of, _)| *of == what) {
            return Rc::clone(places);
        }
        let mut places = Places::none(self.bytes.len());
        for (at, byte) in self.bytes.iter().enumerate() {
            let has = match what {
                What::Byte(wanted) => *byte == wanted,
                What::Class(class) => class.has(*byte),
            };
            if has {
                places.add(at);
            }
        }
        let places = Rc::new(places);
        known.push((what, Rc::clone(&places)));
        places
    }

    /// Where a literal ends that begins at one of these places: as it is, or encoded as it would be expanded (RFC 6570, section 3.1).
    fn after_literal(&self, places: &Places, literal: &[u8]) -> Places {
        if self.words && literal.is_ascii() && !places.are_few() {
            let mut after = places.clone();
            for byte in literal {
                after = self.after_byte(&after, *byte);
                if after.is_empty() {
                    break;
                }
            }
            return after;
        }
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

    fn after_expression(
        &self,
        before: Places,
        operator: Operator,
        variables: &[Variable],
        text: &[u8],
    ) -> Places {
        // Without a variable so far, and with one at least. Any may be undefined, and then nothing stands for it.
        let none = before;
        let mut some = Places::none(self.bytes.len());
        for variable in variables {
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
        // A list that is not exploded is joined by commas. One that is, and an object, have a part for each member.
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
                // An empty value has no `=` here.
                after.join(&named);
            }
            start = self.after_byte(&named, b'=');
        }
        after.join(&match variable.modifier {
            Modifier::Prefix(most) => self.after_few(&start, class, most),
            _ => self.after_run(start, class),
        });
        after
    }

    fn after_byte(&self, places: &Places, byte: u8) -> Places {
        if self.words && !places.are_few() {
            return places.next_of(&self.places_of(What::Byte(byte)));
        }
        let mut after = Places::none(self.bytes.len());
        for at in places.iter().filter(|at| self.bytes.get(*at) == Some(&byte)) {
            after.add(at + 1);
        }
        after
    }

    /// Any number of characters of a class.
    fn after_run(&self, mut places: Places, class: Class) -> Places {
        let Some(first) = places.iter().next() else { return places };
        if self.words {
            places.run(&self.places_of(What::Class(class)));
            return places;
        }
        for at in first..self.bytes.len() {
            if !places.has(at) {
                continue;
            }
            if class.has(self.bytes[at]) {
                places.add(at + 1);
            } else if is_triplet(&self.bytes[at..]) {
                places.add(at + 3);
            }
        }
        places
    }

    /// At most so many characters of a class; an encoded one counts as one.
    fn after_few(&self, places: &Places, class: Class, most: u16) -> Places {
        let Some(first) = places.iter().next() else { return places.clone() };
        // The fewest characters, and one more, with which each place is reached.
        let mut fewest: SmallVec<[u16; 128]> = SmallVec::from_elem(u16::MAX, self.bytes.len() + 1);
        let mut after = places.clone();
        for at in first..self.bytes.len() {
            let so_far = if places.has(at) { 0 } else { fewest[at] };
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

/// The characters that a value may hold without being encoded.
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

/// A set of places in a topic, its end included.
#[derive(Clone)]
struct Places(SmallVec<[u64; 4]>);

impl Places {
    fn none(length: usize) -> Self {
        Self(SmallVec::from_elem(0, length / 64 + 1))
    }

    fn start(length: usize) -> Self {
        let mut places = Self::none(length);
        places.add(0);
        places
    }

    fn add(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn join(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// So few that it is quicker to look at each.
    fn are_few(&self) -> bool {
        self.0.iter().map(|word| word.count_ones()).sum::<u32>() <= FEW
    }

    /// The places behind those that are also of the others. The end is none of these.
    fn next_of(&self, others: &Self) -> Self {
        let mut carry = 0;
        let words = self.0.iter().zip(&others.0).map(|(word, other)| {
            let both = word & other;
            let next = both << 1 | carry;
            carry = both >> 63;
            next
        });
        Self(words.collect())
    }

    /// Adds all that are reached through these others alone, each of which leads to the next place.
    fn run(&mut self, others: &Self) {
        // To add to a run of ones a one at which it is entered clears it from there on, and sets the place behind it: what has changed was reached.
        let mut carry = false;
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            let (sum, over) = (*word & other).overflowing_add(*other);
            let (sum, more) = sum.overflowing_add(u64::from(carry));
            *word |= sum ^ other;
            carry = over || more;
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (bit < 64).then(|| {
                    word &= word - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

/// From how many bytes on a topic is long.
const LONG: usize = 256;
/// At most so many places are few.
const FEW: u32 = 8;

fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// The byte that a triplet stands for.
fn triplet(bytes: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match bytes {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// How long the encoded character is that stands here: a triplet for each of its bytes in UTF-8.
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

/// How long the literal is that the text begins with, its characters outside ASCII encoded.
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::{Template, Topic};

    proptest! {
        #[test]
        fn in_words_of_places_the_answer_is_the_same(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["{a}", "{+b}", "{c*}", "{/d*}", "{?e,f*}", "{;g}", "{#h}", "{i:3}", "{+j:99}", "{.k}", "x", "xx", "/", "a=", ",", "?e=", ";g", "y.z"]),
                1..8,
            ),
            runs in prop::collection::vec(
                (prop::sample::select(vec!["x", "y", ",", "/", "=", "a=", "?e=", "&f=", ";g", ".", "#", "!", " ", "\u{e9}"]), 1_usize..150),
                3..12,
            ),
            shift in 0_usize..64,
        ) {
            let text = pieces.concat();
            let Some(template) = Template::parse(&text) else { return Ok(()) };
            let runs: String = runs.iter().map(|(piece, times)| piece.repeat(*times)).collect();
            for topic in [runs.clone(), format!("{}{runs}", "x".repeat(shift)), "x".repeat(runs.len() + shift)] {
                let by = |words| template.matches(&text, &Topic { bytes: topic.as_bytes(), words, known: RefCell::default() });
                prop_assert_eq!(by(true), by(false), "{} on {}", text, topic);
            }
        }
    }
}
