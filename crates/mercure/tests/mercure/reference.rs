//! A naive matcher of URI templates, from the text of RFC 6570, one offset of the topic after the other. It
//! is slow, and shares no code with the matcher that is compared with it.

use std::collections::BTreeSet;

use crate::expand::Part;

/// Whether a topic is an expansion of the template with these parts, for some values of its variables.
pub(crate) fn matches(parts: &[Part], topic: &str) -> bool {
    let topic = topic.as_bytes();
    let mut places = BTreeSet::from([0]);
    for part in parts {
        places = match part {
            Part::Literal(text) => each(&places, |at| literal(text, topic, at)),
            Part::Expression(operator, variables) => expression(operator, variables, topic, &places),
        };
    }
    places.contains(&topic.len())
}

fn each<I: IntoIterator<Item = usize>>(
    places: &BTreeSet<usize>,
    after: impl Fn(usize) -> I,
) -> BTreeSet<usize> {
    places.iter().flat_map(|at| after(*at)).collect()
}

/// Length of a literal as it is written, or with its characters outside ASCII encoded.
fn literal(text: &str, topic: &[u8], at: usize) -> Option<usize> {
    let rest = &topic[at..];
    if rest.starts_with(text.as_bytes()) {
        return Some(at + text.len());
    }
    let mut length = 0;
    for byte in text.bytes() {
        if byte.is_ascii() {
            (rest.get(length) == Some(&byte)).then_some(())?;
            length += 1;
        } else {
            (triplet(rest.get(length..)?)? == byte).then_some(())?;
            length += 3;
        }
    }
    Some(at + length)
}

fn expression(
    operator: &str,
    variables: &[(String, String)],
    topic: &[u8],
    places: &BTreeSet<usize>,
) -> BTreeSet<usize> {
    let (first, separator, named) = match operator {
        "" | "+" => ("", ',', false),
        "#" => ("#", ',', false),
        "." => (".", '.', false),
        "/" => ("/", '/', false),
        ";" => (";", ';', true),
        "?" => ("?", '&', true),
        _ => ("&", '&', true),
    };
    let reserved = matches!(operator, "+" | "#");
    // Offsets behind the expression with at least one of the variables so far: each may be undefined.
    let mut some = BTreeSet::new();
    for (name, modifier) in variables {
        let mut start = each(places, |at| literal(first, topic, at));
        start.extend(each(&some, |at| literal(&separator.to_string(), topic, at)));
        some.extend(each(&start, |at| match modifier.as_str() {
            "*" => run(topic, at, reserved, &[separator, '='], usize::MAX),
            _ if named => {
                let Some(at) = literal(name, topic, at) else { return BTreeSet::new() };
                let mut ends = literal("=", topic, at)
                    .map_or_else(BTreeSet::new, |at| value(topic, at, reserved, modifier));
                if separator == ';' {
                    ends.insert(at);
                }
                ends
            }
            _ => value(topic, at, reserved, modifier),
        }));
    }
    &some | places
}

/// A text of at most this number of characters, or a list with commas.
fn value(topic: &[u8], at: usize, reserved: bool, modifier: &str) -> BTreeSet<usize> {
    match modifier.strip_prefix(':') {
        Some(most) => run(topic, at, reserved, &[], most.parse().unwrap()),
        None => run(topic, at, reserved, &[','], usize::MAX),
    }
}

/// Offsets behind each number of characters, up to the maximum.
fn run(topic: &[u8], at: usize, reserved: bool, extra: &[char], most: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([at]);
    let mut last = reached.clone();
    for _ in 0..most {
        last = each(&last, |at| character(topic, at, reserved, extra, most));
        if last.is_empty() {
            break;
        }
        reached.extend(&last);
    }
    reached
}

/// Offset behind the character at this offset, if a value may have it, plain or encoded.
fn character(topic: &[u8], at: usize, reserved: bool, extra: &[char], most: usize) -> Option<usize> {
    let byte = *topic.get(at)?;
    let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let reserved = reserved && b":/?#[]@!$&'()*+,;=".contains(&byte);
    if plain || reserved || extra.contains(&char::from(byte)) {
        return Some(at + 1);
    }
    let lead = triplet(&topic[at..])?;
    let following = match lead {
        // Where characters are not counted, a triplet counts like a character.
        _ if most == usize::MAX => 0,
        0xC0..=0xDF => 1,
        0xE0..=0xEF => 2,
        0xF0..=0xF7 => 3,
        _ => 0,
    };
    let continues = |index: &usize| {
        topic.get(at + 3 * index..).and_then(triplet).is_some_and(|byte| (0x80..=0xBF).contains(&byte))
    };
    Some(at + 3 + 3 * (1..=following).take_while(continues).count())
}

/// Byte of a percent-encoded triplet (RFC 3986, section 2.1).
fn triplet(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}
