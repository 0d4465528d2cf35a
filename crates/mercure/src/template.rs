//! URI templates (RFC 6570, all four levels) that are matched against topics, in time linear in the topic.

mod places;
mod topic;

use memchr::memmem;

use self::places::Places;
pub use self::topic::Topic;

/// URI template for matching: decides whether a topic is an expansion of it, for any values.
///
/// It holds offsets in the text that it was parsed from, which its owner keeps.
///
/// A topic that lacks one of the literals is rejected first. Otherwise matching walks through the template
/// once, and keeps the set of offsets in the topic that it may have reached, one bit each. A variable moves
/// that set in one pass over the topic, so that no combination is tried twice.
pub(crate) struct Template {
    parts: Box<[Part]>,
    variables: Box<[Variable]>,
}

enum Part {
    Literal {
        start: u16,
        end: u16,
    },
    /// This number of variables, which follow those of the expressions before it.
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
    /// Byte before the first variable; 0 for none.
    first: u8,
    /// Byte between variables.
    separator: u8,
    /// Whether variables are written `name=value`.
    named: bool,
    /// Whether reserved characters stay unencoded.
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
    /// Parses a template; `None` if the text is no template, or has no variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        // Offsets are stored in 16 bits.
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

    /// Cost of matching, in passes over a topic; the same for all templates of one shape.
    ///
    /// A variable costs one pass, or eight if it has a maximum length. Each 16 bytes of the literals behind
    /// the prefix and of the names that expansions contain cost one.
    pub(crate) fn cost(&self, text: &str) -> u32 {
        let (mut passes, mut bytes) = (0, 0);
        let mut variables = self.variables.iter();
        for part in &self.parts {
            match part {
                Part::Literal { start, end } => bytes += u32::from(end - start),
                Part::Expression { operator, variables: count } => {
                    for variable in variables.by_ref().take(usize::from(*count)) {
                        passes += if let Modifier::Prefix(_) = variable.modifier { 8 } else { 1 };
                        bytes += if operator.named { u32::from(variable.end - variable.start) } else { 0 };
                    }
                }
            }
        }
        passes + (bytes - self.prefix(text).len() as u32) / 16
    }

    /// Common beginning of all expansions; literals in it may be encoded in a topic.
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

    /// Text of the template, with the names replaced that do not matter.
    ///
    /// Templates of equal shape match the same topics, apart from their own texts.
    pub(crate) fn shape(&self, text: &str) -> String {
        let mut shape = String::with_capacity(text.len());
        let mut copied = 0;
        let mut variables = self.variables.iter();
        for part in &self.parts {
            let Part::Expression { operator, variables: count } = part else { continue };
            for variable in variables.by_ref().take(usize::from(*count)).filter(|_| !operator.named) {
                shape.push_str(&text[copied..usize::from(variable.start)]);
                shape.push('_');
                copied = usize::from(variable.end);
            }
        }
        shape.push_str(&text[copied..]);
        shape
    }

    pub(crate) fn matches(&self, text: &str, topic: &Topic<'_>) -> bool {
        if !self.has_literals(text, topic) {
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

    /// Whether the topic has the literals in their order, the first and the last at its ends.
    ///
    /// Else it does not match. Characters outside ASCII are skipped, since they may be encoded.
    fn has_literals(&self, text: &str, topic: &Topic<'_>) -> bool {
        topic.count(1);
        let (prefix, suffix) = (self.prefix(text), self.suffix(text));
        let rest = topic.bytes.strip_prefix(prefix.as_bytes());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(suffix.as_bytes())) else { return false };
        let last = self.parts.len() - 1;
        for (index, part) in self.parts.iter().enumerate() {
            let Part::Literal { start, end } = part else { continue };
            let from = usize::from(*start) + if index == 0 { prefix.len() } else { 0 };
            let upto = usize::from(*end) - if index == last { suffix.len() } else { 0 };
            let literal = text.get(from..upto).unwrap_or_default().as_bytes();
            for plain in literal.split(|byte| !byte.is_ascii()).filter(|plain| !plain.is_empty()) {
                topic.count(1);
                let Some(at) = memmem::find(rest, plain) else { return false };
                rest = &rest[at + plain.len()..];
            }
        }
        true
    }

    /// Common end of all expansions; literals in it may be encoded in a topic.
    fn suffix<'a>(&self, text: &'a str) -> &'a str {
        match self.parts.last() {
            Some(Part::Literal { start, end }) => {
                let literal = &text[usize::from(*start)..usize::from(*end)];
                let plain = literal.bytes().rev().position(|byte| !byte.is_ascii()).unwrap_or(literal.len());
                &literal[literal.len() - plain..]
            }
            _ => "",
        }
    }
}

impl Variable {
    /// Parses name and modifier of a variable (RFC 6570, section 2.3) at the offset `from`.
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

/// Reads a number from 1 to 9999 without leading zeros.
fn max_length(digits: &[u8]) -> Option<u16> {
    let is_length =
        matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() < 4 && rest.iter().all(u8::is_ascii_digit));
    is_length.then(|| digits.iter().fold(0, |length, digit| length * 10 + u16::from(digit - b'0')))
}

/// Length of a literal at the beginning, if one is allowed there (RFC 6570, section 2.1).
fn literal(bytes: &[u8]) -> Option<usize> {
    match bytes[0] {
        b'%' => is_triplet(bytes).then_some(3),
        0..=b' ' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7F => None,
        _ => Some(1),
    }
}

fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}
