//! The results of `start`.
#![expect(unnameable_types, reason = "the trait is sealed, and its kinds are for the compiler alone")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::emitter::Emitter;
use crate::error::Error;
use crate::stop::CleanUp;

/// A result of the `start` of [`produce`](crate::produce). It is implemented for
///
/// - a future of `Result<(), Error>`, such as an `async` block;
/// - `()`: everything was set up, the events come from elsewhere;
/// - a closure, `FnOnce() + Send`: the clean-up, which runs once, when the stream has ended;
/// - `Result<(), Error>` and `Result<impl FnOnce() + Send, Error>`: the same, when setting up may fail.
///
/// `Kind` tells the compiler which of these it is; it never needs to be written.
#[diagnostic::on_unimplemented(
    message = "`start` cannot return `{Self}`",
    label = "this closure returns `{Self}`",
    note = "return `()`, `Result<(), ssekit::server::Error>`, a clean-up closure, or a future of \
            `Result<(), ssekit::server::Error>`",
    note = "end an `async` block with `Ok(())`; `?` converts every error",
    note = "use `produce_with_cleanup` for an `async` start that returns a clean-up"
)]
pub trait Started<Kind>: sealed::Started<Kind> {}

impl<Kind, T: sealed::Started<Kind>> Started<Kind> for T {}

pub(crate) mod sealed {
    pub trait Started<Kind> {
        fn running(self) -> super::Running;
    }
}

/// The future or clean-up of `start`.
pub struct Running(pub(crate) StartOutcome);

pub(crate) enum StartOutcome {
    Done(Result<CleanUp, Error>),
    Pending(StartFuture),
}

impl Running {
    pub(crate) fn future(future: impl Future<Output = Result<CleanUp, Error>> + Send + 'static) -> Self {
        Self(StartOutcome::Pending(Box::pin(future)))
    }

    pub(crate) fn done(result: Result<CleanUp, Error>) -> Self {
        Self(StartOutcome::Done(result))
    }
}

pub(crate) type StartFuture = Pin<Box<dyn Future<Output = Result<CleanUp, Error>> + Send>>;
pub(crate) type Start = Box<dyn FnOnce(Emitter) -> Running + Send>;

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// `start` goes on as a future.
#[derive(Debug)]
pub struct Later;

impl<F: Future<Output = Result<(), Error>> + Send + 'static> sealed::Started<Later> for F {
    fn running(self) -> Running {
        Running::future(async move { self.await.map(|()| CleanUp::default()) })
    }
}

/// `start` has done everything.
#[derive(Debug)]
pub struct AtOnce;

impl sealed::Started<AtOnce> for () {
    fn running(self) -> Running {
        Running::done(Ok(CleanUp::default()))
    }
}

impl sealed::Started<AtOnce> for Result<(), Error> {
    fn running(self) -> Running {
        Running::done(self.map(|()| CleanUp::default()))
    }
}

/// `start` has returned the clean-up.
#[derive(Debug)]
pub struct WithCleanUp;

impl<F: FnOnce() + Send + 'static> sealed::Started<WithCleanUp> for F {
    fn running(self) -> Running {
        Running::done(Ok(CleanUp::new(self)))
    }
}

impl<F: FnOnce() + Send + 'static> sealed::Started<WithCleanUp> for Result<F, Error> {
    fn running(self) -> Running {
        Running::done(self.map(CleanUp::new))
    }
}
