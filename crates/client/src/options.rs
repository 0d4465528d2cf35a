//! How a source asks and behaves.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ssekit_session::Config;

use crate::Error;
use crate::callbacks::Callbacks;
use crate::connection::Connection;
use crate::redact::redacted_text;
use crate::registry::{self, Key};
use crate::request::{HeadersFrom, Request};
use crate::subscribers::Buffer;
use crate::transport::Transport;

#[derive(Clone)]
pub(crate) struct Options {
    /// As it was given.
    pub(crate) url: String,
    /// Or the first mistake in it.
    pub(crate) request: Result<Request, Error>,
    pub(crate) config: Config,
    pub(crate) buffer: Buffer,
    pub(crate) headers_from: Option<HeadersFrom>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) is_shared: bool,
    pub(crate) callbacks: Arc<Callbacks>,
}

/// The state that the clones of a source and its subscribers share.
#[derive(Debug)]
pub(crate) struct SourceState {
    pub(crate) options: Options,
    connection: OnceLock<Arc<Connection>>,
}

impl SourceState {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, connection: OnceLock::new() }
    }

    /// The connection, shared or not, made when it is first asked for.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        self.connection.get_or_init(|| self.options.connection())
    }
}

impl Drop for SourceState {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.get() {
            connection.leave(&self.options.callbacks);
        }
    }
}

impl Options {
    pub(crate) fn connection(&self) -> Arc<Connection> {
        let make = || {
            Connection::new(
                self.display_url(),
                self.request.clone(),
                self.config.clone(),
                self.buffer,
                Arc::clone(&self.transport),
                self.headers_from.clone(),
            )
        };
        match &self.request {
            Ok(request) if self.is_shared && request.is_shareable() && self.headers_from.is_none() => {
                let key = Key {
                    request: request.clone(),
                    config: self.config.clone(),
                    buffer: self.buffer,
                    transport: self.transport.address(),
                };
                registry::share(key, &self.callbacks, make)
            }
            _ => {
                let connection = Arc::new(make());
                connection.join(&self.callbacks);
                connection
            }
        }
    }

    /// The URL for messages.
    fn display_url(&self) -> String {
        self.request.as_ref().map_or_else(|_| redacted_text(&self.url), Request::display_url)
    }

    pub(crate) fn callbacks_mut(&mut self) -> &mut Callbacks {
        Arc::make_mut(&mut self.callbacks)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.display_url())
            .field("headers", &self.request.as_ref().map(Request::header_names))
            .field("config", &self.config)
            .field("buffer", &self.buffer)
            .field("transport", &self.transport)
            .field("is_shared", &self.is_shared)
            .field("callbacks", &self.callbacks)
            .finish_non_exhaustive()
    }
}
