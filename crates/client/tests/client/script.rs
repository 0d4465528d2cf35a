use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ssekit_client::{Body, Sending, Transport, TransportError};
use tokio::time::{Duration, Instant};

use crate::answer::{Answer, Ending};

/// A transport without sockets, for tests whose clock stands still: gives scripted answers, request after
/// request, and is silent after the last.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Received>>>,
    /// Between a piece of a body and the next.
    pace: Duration,
}

/// A request and when it came.
type Received = (Instant, http::Request<Bytes>);

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            requests: Arc::default(),
            pace: Duration::ZERO,
        }
    }

    pub(crate) fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }

    /// How long after the one before it each request came.
    pub(crate) fn delays(&self) -> Vec<Duration> {
        let requests = self.requests.lock().unwrap();
        requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    pub(crate) fn requests(&self) -> Vec<http::Request<Bytes>> {
        self.requests.lock().unwrap().iter().map(|(_, request)| request.clone()).collect()
    }
}

impl Transport for Script {
    fn send(&self, request: http::Request<Bytes>) -> Sending {
        self.requests.lock().unwrap().push((Instant::now(), request));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or_else(Answer::silence);
        let pace = self.pace;
        Box::pin(async move {
            match answer.ending {
                Ending::Refuse => return Err(TransportError::new("connection refused")),
                Ending::Silence => std::future::pending().await,
                Ending::End | Ending::Break | Ending::Stay => {}
            }
            let mut head = http::Response::builder().status(answer.status);
            for (name, value) in &answer.headers {
                head = head.header(*name, value);
            }
            let pieces = stream::iter(answer.pieces).then(move |piece| async move {
                tokio::time::sleep(pace).await;
                Ok(Bytes::from(piece))
            });
            let body: Body = match answer.ending {
                Ending::Stay => Box::pin(pieces.chain(stream::pending())),
                Ending::Break => {
                    let broken = stream::iter([Err(TransportError::new("connection reset"))]);
                    Box::pin(pieces.chain(broken))
                }
                _ => Box::pin(pieces),
            };
            Ok(head.body(body).unwrap())
        })
    }
}
