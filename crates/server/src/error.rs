use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Any error: the result of [`start`](crate::produce), and the cause of
/// [`StopReason::Failed`](crate::StopReason).
///
/// `?` converts every error type into it, and [`Error::new`] converts text, a boxed error or an
/// `anyhow::Error`. Because it converts from every error, it does not implement the trait itself, but
/// dereferences to an error: `error.to_string()`, `error.source()`, `error.downcast_ref::<io::Error>()`.
/// Where a function returns a boxed error, `?` turns it into that.
///
/// ```
/// use ssekit::server::Error;
///
/// fn read_port(text: &str) -> Result<u16, Error> {
///     match text.parse()? {
///         0 => Err(Error::new("port 0 is none")),
///         port => Ok(port),
///     }
/// }
/// assert!(read_port("x").unwrap_err().downcast_ref::<std::num::ParseIntError>().is_some());
/// assert_eq!(read_port("0").unwrap_err().to_string(), "port 0 is none");
///
/// fn start(port: &str) -> Result<u16, Box<dyn std::error::Error>> {
///     Ok(read_port(port)?)
/// }
/// assert_eq!(start("80").unwrap(), 80);
/// ```
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    /// An error from text, a boxed error, or anything else that turns into one.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into())
    }

    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let text = match panic.downcast_ref::<&str>() {
            Some(text) => text,
            None => panic.downcast_ref::<String>().map_or("no message", String::as_str),
        };
        Self::new(format!("panicked: {text}"))
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl Deref for Error {
    type Target = dyn StdError + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A channel that a stream reads has failed. Each of its streams has the same error.
#[derive(Clone)]
pub(crate) struct ChannelFailed {
    pub(crate) name: Option<Box<str>>,
    pub(crate) error: Arc<Error>,
}

impl fmt::Display for ChannelFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the channel `{name}` failed: {}", self.error),
            None => write!(f, "the channel failed: {}", self.error),
        }
    }
}

impl fmt::Debug for ChannelFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelFailed").field("name", &self.name).field("error", &self.error).finish()
    }
}

impl StdError for ChannelFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
