//! Which connections there are, so that sources of the same request find each other.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};

use ssekit_session::Config;

use crate::callbacks::Callbacks;
use crate::connection::Connection;
use crate::panics::lock;
use crate::request::Request;
use crate::subscribers::Buffer;

/// Two sources with equal keys share a connection: the request, and its policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) request: Request,
    pub(crate) config: Config,
    pub(crate) buffer: Buffer,
    /// The address of the transport; two of the same address are never alive at the same time.
    pub(crate) transport: usize,
}

static CONNECTIONS: LazyLock<Mutex<HashMap<Key, Weak<Connection>>>> = LazyLock::new(Mutex::default);

/// Joins the connection for the key, or makes one.
pub(crate) fn share(
    key: Key,
    callbacks: &Arc<Callbacks>,
    make: impl FnOnce() -> Connection,
) -> Arc<Connection> {
    let mut connections = lock(&CONNECTIONS);
    let found = connections.get(&key).and_then(Weak::upgrade);
    if let Some(connection) = found.as_ref().filter(|connection| connection.join(callbacks)) {
        return Arc::clone(connection);
    }
    let connection = Arc::new(make());
    connection.join(callbacks);
    connections.retain(|_, connection| connection.strong_count() > 0);
    connections.insert(key, Arc::downgrade(&connection));
    drop(connections);
    // This may be the last handle of its connection, and drop closures of the caller.
    drop(found);
    connection
}
