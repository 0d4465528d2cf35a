//! Who is subscribed to what, where that is to be told: by an update for each that comes and goes, and by an API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ssekit_log::{Log, Record};
use tokio::sync::mpsc;

use crate::mercure::Subscribe;
use crate::mercure::subscriptions::Active as Document;

/// All subscriptions that are active now.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    path: Arc<str>,
    all: Arc<Mutex<BTreeMap<Box<str>, Vec<Document>>>>,
    news: mpsc::UnboundedSender<Vec<Record>>,
}

/// A subscriber, until it is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    active: Active,
    subscriber: Box<str>,
}

impl Active {
    /// Nobody yet; who comes and goes is told by updates in this log.
    pub(crate) fn start(log: Arc<dyn Log>, path: &str) -> Self {
        let (news, mut told) = mpsc::unbounded_channel::<Vec<Record>>();
        tokio::spawn(async move {
            while let Some(mut records) = told.recv().await {
                // Many who come together are told in one append.
                while records.len() < BATCH {
                    let Ok(more) = told.try_recv() else { break };
                    records.extend(more);
                }
                let count = records.len();
                if let Err(error) = log.append(records).await {
                    tracing::error!(%error, count, "updates about active subscriptions are lost");
                }
            }
        });
        Self { path: path.into(), all: Arc::default(), news }
    }

    /// A subscriber has come: it is active until what this gives is dropped.
    pub(crate) fn enter(&self, subscribe: &Subscribe) -> Presence {
        let subscriber: Box<str> = format!("urn:uuid:{}", uuid::Uuid::new_v4()).into();
        let documents: Vec<_> = subscribe
            .selectors
            .iter()
            .map(|selector| Document {
                selector: selector.text().into(),
                subscriber: subscriber.clone(),
                payload: subscribe.token.as_ref().and_then(|token| token.payload.clone()),
            })
            .collect();
        self.tell(&documents, true);
        self.lock().insert(subscriber.clone(), documents);
        Presence { active: self.clone(), subscriber }
    }

    /// Those of a topic, or of one subscriber, or all.
    pub(crate) fn list(&self, topic: Option<&str>, subscriber: Option<&str>) -> Vec<Document> {
        let all = self.lock();
        let of = |documents: &Vec<Document>| -> Vec<Document> {
            documents.iter().filter(|one| topic.is_none_or(|topic| topic == &*one.selector)).cloned().collect()
        };
        match subscriber {
            Some(subscriber) => all.get(subscriber).map(of).unwrap_or_default(),
            None => all.values().flat_map(of).collect(),
        }
    }

    fn tell(&self, documents: &[Document], active: bool) {
        let records = documents.iter().map(|document| document.record(&self.path, active)).collect();
        // It fails when the hub has ended: then nobody listens.
        let _ = self.news.send(records);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Vec<Document>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let gone = self.active.lock().remove(&self.subscriber);
        if let Some(documents) = gone {
            self.active.tell(&documents, false);
        }
    }
}

/// Updates that are appended at once, and those of one subscriber more.
const BATCH: usize = 1024;
