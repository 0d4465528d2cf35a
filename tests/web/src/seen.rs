//! The requests for streams, for tests that check the requests of a client.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;

use crate::app::App;

#[derive(Clone, Serialize)]
pub(crate) struct Request {
    method: String,
    path: String,
    query: Option<String>,
    headers: BTreeMap<String, String>,
}

#[derive(Default)]
pub(crate) struct Seen {
    latest: Mutex<VecDeque<Request>>,
}

impl Seen {
    const MOST: usize = 4096;

    fn add(&self, request: Request) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == Self::MOST {
            latest.pop_front();
        }
        latest.push_back(request);
    }

    pub(crate) fn of(&self, path: Option<&str>) -> Vec<Request> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().filter(|request| path.is_none_or(|path| path == request.path)).cloned().collect()
    }
}

pub(crate) async fn record(State(app): State<App>, request: axum::extract::Request, next: Next) -> Response {
    let headers = request.headers().iter();
    app.seen.add(Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
    });
    next.run(request).await
}
