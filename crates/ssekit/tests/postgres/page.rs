use std::sync::Arc;

use ssekit::{Message, Reconnect, source};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::PATIENCE;

/// An event that a page has received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

impl Seen {
    /// The epoch and the sequence of its id.
    pub(crate) fn position(&self) -> (&str, u64) {
        let (epoch, sequence) = self.id.split_once('-').expect("the id of a channel");
        (epoch, sequence.parse().expect("a number"))
    }
}

impl From<Message> for Seen {
    fn from(message: Message) -> Self {
        let [event, data, id] = [message.event(), message.data(), message.last_event_id()].map(str::to_owned);
        Self { event, data, id }
    }
}

/// A client that keeps all that it receives, over one connection.
pub(crate) struct Page {
    seen: watch::Receiver<Vec<Seen>>,
    reading: JoinHandle<()>,
}

impl Page {
    /// Returns when it is connected, after an event that it had, if any.
    pub(crate) async fn open(url: &str, last: Option<&str>) -> Self {
        let opened = Arc::new(Notify::new());
        let open = Arc::clone(&opened);
        let source =
            source(url).share(false).reconnect(Reconnect::never()).on_open(move |_| open.notify_one());
        let source = match last {
            Some(id) => source.resume_after(id),
            None => source,
        };
        let (keep, seen) = watch::channel(Vec::new());
        let reading = tokio::spawn(async move {
            let mut messages = source.select_all();
            while let Some(message) = messages.next().await {
                let seen = Seen::from(message.expect("a message"));
                if seen.event != "ping" {
                    keep.send_modify(|all| all.push(seen));
                }
            }
        });
        timeout(PATIENCE, opened.notified()).await.expect("the example answers in time");
        Self { seen, reading }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Waits until this is the latest event's data.
    pub(crate) async fn until(&mut self, data: &str) {
        self.wait(|seen| seen.last().is_some_and(|seen| seen.data == data)).await;
    }

    /// Waits until the loss of the database was reported so many times.
    pub(crate) async fn until_reconnected(&mut self, times: usize) {
        self.wait(|seen| seen.iter().filter(|seen| seen.event == "reconnected").count() == times).await;
    }

    /// Waits for the event before which there are so many.
    pub(crate) async fn after(&mut self, events: usize) -> Seen {
        self.wait(|seen| seen.len() > events).await;
        self.seen.borrow()[events].clone()
    }

    async fn wait(&mut self, enough: impl FnMut(&Vec<Seen>) -> bool) {
        timeout(PATIENCE, self.seen.wait_for(enough))
            .await
            .expect("in time")
            .expect("the page stays connected");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
