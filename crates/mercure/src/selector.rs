//! Selectors: the sets of topics that subscriptions ask for and tokens grant.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::template::{Template, Topic};
use super::text::{self, Refused};

/// Set of topics that a subscription asks for, or that a token grants.
///
/// It is `*`, a topic, or a URI template (RFC 6570).
///
/// A topic is compared with `*`, then byte by byte with the text, also that of a template, and then with the
/// expansions of the template. A text with braces that is no template is a topic. Cloning is cheap; equal
/// selectors have equal text.
///
/// ```
/// use ssekit_mercure::Selector;
///
/// let books = Selector::parse("https://example.com/books/{id}")?;
/// assert!(books.matches("https://example.com/books/1"));
/// assert!(!books.matches("https://example.com/books/1/pages"));
/// assert!(books.matches("https://example.com/books/{id}"));
/// # Ok::<(), ssekit_mercure::SelectorError>(())
/// ```
#[derive(Clone)]
pub struct Selector(Arc<Inner>);

struct Inner {
    text: Box<str>,
    form: Form,
}

enum Form {
    Any,
    Exact,
    Template(Template),
}

/// How a [`Selector`] matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Every topic.
    Any,
    /// One topic, byte by byte.
    Exact,
    /// The expansions of a URI template, and its own text.
    Template,
}

impl Selector {
    /// Maximum number of bytes of a selector, whatever [`Limits`](super::Limits) allow.
    pub const MAX_BYTES: usize = u16::MAX as usize;
    /// Maximum number of variables of a template: matching takes at most as many passes over a topic.
    pub const MAX_VARIABLES: usize = 32;

    /// Reads a selector.
    ///
    /// # Errors
    /// When it is empty or too long, has a character that no topic may have, or is a template with too many
    /// variables.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        check(text)?;
        let form = match text {
            "*" => Form::Any,
            _ => match Template::parse(text) {
                Some(template) if template.variables() > Self::MAX_VARIABLES => {
                    return Err(SelectorError(Why::Variables(template.variables())));
                }
                Some(template) => Form::Template(template),
                None => Form::Exact,
            },
        };
        Ok(Self(Arc::new(Inner { text: text.into(), form })))
    }

    /// Makes a selector of one topic, or of all topics for `*`; braces have no meaning.
    ///
    /// # Errors
    /// When it is empty or too long, or has a character that no topic may have.
    pub fn exact(text: &str) -> Result<Self, SelectorError> {
        check(text)?;
        let form = if text == "*" { Form::Any } else { Form::Exact };
        Ok(Self(Arc::new(Inner { text: text.into(), form })))
    }

    /// Text of the selector, as its author wrote it.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// How the selector matches.
    pub fn kind(&self) -> Kind {
        match self.0.form {
            Form::Any => Kind::Any,
            Form::Exact => Kind::Exact,
            Form::Template(_) => Kind::Template,
        }
    }

    /// Number of variables; 0 if it is no template.
    pub fn variables(&self) -> usize {
        match &self.0.form {
            Form::Template(template) => template.variables(),
            Form::Any | Form::Exact => 0,
        }
    }

    /// Whether it selects this topic.
    ///
    /// The time is at most proportional to the topic's length for each variable.
    pub fn matches(&self, topic: &str) -> bool {
        self.matches_prepared(topic, &Topic::new(topic))
    }

    /// Like [`matches`](Self::matches), for a topic that is also compared with other selectors.
    pub(crate) fn matches_prepared(&self, topic: &str, prepared: &Topic<'_>) -> bool {
        match &self.0.form {
            Form::Any => true,
            Form::Exact => *self.0.text == *topic,
            Form::Template(template) => *self.0.text == *topic || template.matches(&self.0.text, prepared),
        }
    }

    /// Whether the topic is an expansion of this template. The template's own text does not count.
    pub fn expands_to(&self, prepared: &Topic<'_>) -> bool {
        match &self.0.form {
            Form::Template(template) => template.matches(&self.0.text, prepared),
            Form::Any | Form::Exact => false,
        }
    }

    /// Cost of matching a topic, in passes over it.
    ///
    /// It is roughly the number of variables, and 0 if the selector is no template.
    pub fn cost(&self) -> u32 {
        match &self.0.form {
            Form::Template(template) => template.cost(&self.0.text),
            Form::Any | Form::Exact => 0,
        }
    }

    /// Text of the selector, in a template with the names replaced that do not matter.
    ///
    /// Templates of one shape expand to the same topics.
    pub fn shape(&self) -> String {
        match &self.0.form {
            Form::Template(template) => template.shape(&self.0.text),
            Form::Any | Form::Exact => self.0.text.to_string(),
        }
    }

    /// Common beginning of all topics that it selects: the whole topic of an exact selector, nothing of `*`.
    pub fn literal_prefix(&self) -> &str {
        match &self.0.form {
            Form::Any => "",
            Form::Exact => &self.0.text,
            Form::Template(template) => template.prefix(&self.0.text),
        }
    }
}

/// Whether one of the selectors selects one of the topics; and the steps of the comparison.
///
/// The steps are those of [`PreparedTopic::steps`](crate::PreparedTopic::steps).
pub fn selects(selectors: &[Selector], topics: &[Box<str>]) -> (bool, u64) {
    let mut steps = 0;
    for topic in topics {
        let prepared = Topic::new(topic);
        let selected = selectors.iter().any(|selector| selector.matches_prepared(topic, &prepared));
        steps += prepared.steps();
        if selected {
            return (true, steps);
        }
    }
    (false, steps)
}

fn check(text: &str) -> Result<(), SelectorError> {
    if text.is_empty() {
        return Err(SelectorError(Why::Empty));
    }
    if text.len() > Selector::MAX_BYTES {
        return Err(SelectorError(Why::Long(text.len())));
    }
    text::check(text).map_err(|refused| SelectorError(Why::Character(refused)))
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.kind() == other.kind() && self.text() == other.text()
    }
}

impl Eq for Selector {}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind(), self.text())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Reason why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(Why);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes; the limit is {max}", max = Selector::MAX_BYTES)]
    Long(usize),
    #[error("it contains {0}")]
    Character(Refused),
    #[error("the template has {0} variables; the limit is {max}", max = Selector::MAX_VARIABLES)]
    Variables(usize),
}

impl std::borrow::Borrow<str> for Selector {
    fn borrow(&self) -> &str {
        self.text()
    }
}
