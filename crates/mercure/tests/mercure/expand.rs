//! An expander of URI templates, from the text of RFC 6570, section 3.2.1.
//!
//! A template must match its expansions.

/// Value of a variable; `None` is undefined.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(String),
    /// The operator, and variables with their modifiers.
    Expression(&'static str, Vec<(String, String)>),
}

pub(crate) fn template(parts: &[Part]) -> String {
    let written = parts.iter().map(|part| match part {
        Part::Literal(text) => text.clone(),
        Part::Expression(operator, variables) => {
            let variables: Vec<_> =
                variables.iter().map(|(name, modifier)| format!("{name}{modifier}")).collect();
            format!("{{{operator}{}}}", variables.join(","))
        }
    });
    written.collect()
}

/// Splits a valid template into its parts.
pub(crate) fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}').unwrap();
        parts.push(Part::Literal(literal.to_owned()));
        let operator = OPERATORS
            .into_iter()
            .find(|known| !known.is_empty() && expression.starts_with(known))
            .unwrap_or("");
        let variables = expression[operator.len()..].split(',').map(|spec| {
            let end = spec.find([':', '*']).unwrap_or(spec.len());
            (spec[..end].to_owned(), spec[end..].to_owned())
        });
        parts.push(Part::Expression(operator, variables.collect()));
        rest = after;
    }
    parts.push(Part::Literal(rest.to_owned()));
    parts
}

pub(crate) const OPERATORS: [&str; 8] = ["", "+", "#", ".", "/", ";", "?", "&"];

pub(crate) fn expand(parts: &[Part], value: impl Fn(&str) -> Option<Value>) -> String {
    let mut result = String::new();
    for part in parts {
        match part {
            Part::Literal(text) => result.push_str(&encode(text, true)),
            Part::Expression(operator, variables) => {
                let (first, separator, named, if_empty, reserved) = match *operator {
                    "" => ("", ",", false, "", false),
                    "+" => ("", ",", false, "", true),
                    "#" => ("#", ",", false, "", true),
                    "." => (".", ".", false, "", false),
                    "/" => ("/", "/", false, "", false),
                    ";" => (";", ";", true, "", false),
                    "?" => ("?", "&", true, "=", false),
                    _ => ("&", "&", true, "=", false),
                };
                let encode = |text: &str| encode(text, reserved);
                let pair = |name: &str, value: &str| match value {
                    "" => format!("{name}{if_empty}"),
                    _ => format!("{name}={value}"),
                };
                let mut written = Vec::new();
                for (name, modifier) in variables {
                    let exploded = modifier == "*";
                    let joined = |items: Vec<String>| {
                        let items = items.join(",");
                        if named { pair(name, &items) } else { items }
                    };
                    written.extend(match value(name) {
                        None => None,
                        Some(Value::Text(text)) => {
                            let most = modifier
                                .strip_prefix(':')
                                .map_or(usize::MAX, |length| length.parse().unwrap());
                            let text = encode(&text.chars().take(most).collect::<String>());
                            Some(if named { pair(name, &text) } else { text })
                        }
                        // A list or an object without members is undefined; neither has a prefix.
                        Some(Value::List(items)) if items.is_empty() || modifier.starts_with(':') => None,
                        Some(Value::Pairs(items)) if items.is_empty() || modifier.starts_with(':') => None,
                        Some(Value::List(items)) if exploded => {
                            let items = items.iter().map(|item| encode(item));
                            let items = items.map(|item| if named { pair(name, &item) } else { item });
                            Some(items.collect::<Vec<_>>().join(separator))
                        }
                        Some(Value::List(items)) => {
                            Some(joined(items.iter().map(|item| encode(item)).collect()))
                        }
                        Some(Value::Pairs(items)) if exploded => {
                            let items = items.iter().map(|(key, value)| {
                                let (key, value) = (encode(key), encode(value));
                                if named { pair(&key, &value) } else { format!("{key}={value}") }
                            });
                            Some(items.collect::<Vec<_>>().join(separator))
                        }
                        Some(Value::Pairs(items)) => Some(joined(
                            items.iter().flat_map(|(key, value)| [encode(key), encode(value)]).collect(),
                        )),
                    });
                }
                if !written.is_empty() {
                    result.push_str(first);
                    result.push_str(&written.join(separator));
                }
            }
        }
    }
    result
}

/// Encodes all characters that are not unreserved; with `reserved`, keeps reserved ones and triplets too.
fn encode(text: &str, reserved: bool) -> String {
    let bytes = text.as_bytes();
    let mut encoded = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let is_reserved = b":/?#[]@!$&'()*+,;=".contains(byte);
        let triplet =
            *byte == b'%' && bytes.len() > at + 2 && bytes[at + 1..at + 3].iter().all(u8::is_ascii_hexdigit);
        if plain || reserved && (is_reserved || triplet) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
