//! History of updates for the hub's page: pages of the updates that the reader may read.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use ssekit_hub::http::refusal;
use ssekit_hub::hub::{Hub, read_problem};
use ssekit_log::{Entry, Limit, Position, ReadError};
use ssekit_mercure::{Cursor, Problem, ProblemKind, Selector, Token, may_read, selects, subscriptions};
use ssekit_wire::{Decoder, Item};

use super::state::{PageState, json};
use super::stats::milliseconds;

/// Default number of updates of one page, and the maximum.
const PAGE: usize = 50;
const MAX_PAGE: usize = 100;
/// Updates, and bytes, that are searched for one page.
const MAX_SEARCHED: usize = 20_000;
const MAX_BYTES: usize = 16 << 20;
/// Number of bytes that are shown of an update's data.
const MAX_DATA: usize = 2 << 10;
/// Number of topics that are shown of an update.
const MAX_TOPICS: usize = 5;
/// Limit of one read of the log.
const READ: Limit = Limit { records: 512, bytes: 256 << 10 };

/// Request for a page. The topics are those of a subscription.
#[derive(Deserialize)]
struct Asked {
    /// The page begins after this update.
    after: Option<String>,
    /// The page ends before this update.
    before: Option<String>,
    limit: Option<usize>,
    /// Whether subscription events are shown; `true` if absent.
    subscriptions: Option<bool>,
}

/// Page of the history.
#[derive(Debug, Serialize)]
struct Page {
    /// Updates, the newest first.
    events: Vec<Shown>,
    /// Value of `before` for the next older page; `None` if there are no older updates.
    older: Option<String>,
    /// Value of `after` for the next newer page; `None` if there are no newer updates.
    newer: Option<String>,
}

/// Update, cut to the size of a page.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    topics: Vec<Box<str>>,
    /// Number of further topics.
    ///
    /// Topics of a private update that the reader's token does not grant are not counted.
    more_topics: usize,
    private: bool,
    /// Milliseconds since 1970.
    time: u64,
    event: String,
    data: String,
    /// Size of the complete data in bytes.
    size: usize,
}

/// Returns a page of the updates that the reader may read.
pub(super) async fn history(State(state): State<PageState>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let read = async {
        let (asked, reader) = Reader::read(&state.hub, &parts).await?;
        let _permit = state.readers.acquire().await;
        reader.page(&asked).await
    };
    match read.await {
        Ok(page) => json(page),
        Err(problem) => refusal(&problem),
    }
}

/// Reader of the history.
struct Reader<'a> {
    hub: &'a Hub,
    selectors: Vec<Selector>,
    token: Option<Arc<Token>>,
    /// Beginning of the topics of subscription events, if these are hidden.
    hidden: Option<String>,
}

/// Found updates, and the effort so far.
#[derive(Default)]
struct Found {
    events: Vec<(Position, Shown)>,
    searched: usize,
    bytes: usize,
}

impl Found {
    fn is_enough(&self, wanted: usize) -> bool {
        self.events.len() >= wanted || self.searched >= MAX_SEARCHED || self.bytes >= MAX_BYTES
    }
}

impl<'a> Reader<'a> {
    /// Checks the request like that of a subscriber, with the same parameters.
    async fn read(hub: &'a Hub, parts: &Parts) -> Result<(Asked, Self), Problem> {
        let subscribe = hub.asked(parts).await?;
        let asked = Query::<Asked>::try_from_uri(&parts.uri);
        let Query(asked) = asked.map_err(|error| Problem::new(ProblemKind::Malformed, error.body_text()))?;
        if asked.after.is_some() && asked.before.is_some() {
            return Err(Problem::new(ProblemKind::Malformed, "set “after” or “before”, not both"));
        }
        let hidden = (asked.subscriptions == Some(false)).then(|| subscriptions::below(hub.path()));
        Ok((asked, Self { hub, selectors: subscribe.selectors, token: subscribe.token, hidden }))
    }

    async fn page(&self, asked: &Asked) -> Result<Page, Problem> {
        let wanted = asked.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
        let last = self.hub.log().bounds().await.map_err(|error| read_problem(&error))?.last;
        let first = self.hub.log().read(Position::START, Limit { records: 1, bytes: 1 }).await;
        let first = first.map_err(|error| read_problem(&error))?.entries.first().map(|entry| entry.position);
        // In an empty log, the first position is behind the last.
        let first = first.unwrap_or(Position(last.0 + 1));
        match (&asked.after, &asked.before) {
            (Some(after), _) => self.newer(self.position(after, last).await?, first, last, wanted).await,
            (None, Some(before)) => self.older(self.position(before, last).await?, first, last, wanted).await,
            (None, None) => self.older(Position(last.0 + 1), first, last, wanted).await,
        }
        .map_err(|error| read_problem(&error))
    }

    /// Position of an update, or of the end of a page.
    async fn position(&self, id: &str, last: Position) -> Result<Position, Problem> {
        let id = match Cursor::read(id, self.hub.limits())? {
            Cursor::Earliest => return Ok(Position::START),
            Cursor::Now => return Ok(last),
            Cursor::After(id) => id,
        };
        // A page may end before the next update exists.
        let found = self.hub.position(&id, Position(last.0 + 1)).await;
        found.map_err(|error| read_problem(&error))?.ok_or_else(|| {
            Problem::new(
                ProblemKind::NotFound,
                "the history has no update with this id: it was removed, or it belongs to another history",
            )
        })
    }

    /// Reads the next updates after a position.
    async fn newer(
        &self,
        after: Position,
        first: Position,
        last: Position,
        wanted: usize,
    ) -> Result<Page, ReadError> {
        let mut found = Found::default();
        let mut through = after;
        let mut more = true;
        while more && !found.is_enough(wanted) {
            let page = self.hub.log().read(through, READ).await?;
            (through, more) = (page.through, !page.end);
            for entry in page.entries {
                if found.events.len() >= wanted {
                    more = true;
                    break;
                }
                through = entry.position;
                self.add(entry, &mut found);
            }
            tokio::task::yield_now().await;
        }
        let newer = more.then(|| self.hub.ids().id(through));
        let older = (after >= first).then(|| self.hub.ids().id(Position(after.0.min(last.0) + 1)));
        let events = found.events.into_iter().rev().map(|(_, shown)| shown).collect();
        Ok(Page { events, older, newer })
    }

    /// Reads the last updates before a position.
    ///
    /// The log is read only forwards, so it is read in stretches, each before the other; they grow where
    /// there are few updates.
    async fn older(
        &self,
        before: Position,
        first: Position,
        last: Position,
        wanted: usize,
    ) -> Result<Page, ReadError> {
        let mut found = Found::default();
        let mut end = before.0;
        let mut stretch = (wanted as u64).max(SHORTEST);
        while end > first.0 && !found.is_enough(wanted) {
            let begin = end.saturating_sub(stretch).max(first.0);
            let searched = found.searched;
            let Some(events) = self.stretch(begin, end, &mut found).await? else {
                // The stretch has more updates than can be kept until its end is found.
                stretch = (stretch / 16).max(SHORTEST);
                continue;
            };
            let seen = (found.searched - searched) as u64;
            stretch = if seen < stretch / 8 { stretch.saturating_mul(8) } else { (stretch * 2).min(LONGEST) };
            found.events.extend(events.into_iter().rev());
            end = begin;
        }
        if found.events.len() > wanted {
            found.events.truncate(wanted);
            end = found.events.last().map_or(end, |(position, _)| position.0);
        }
        let older = (end > first.0).then(|| self.hub.ids().id(Position(end)));
        let newer = (before <= last).then(|| self.hub.ids().id(Position(before.0.saturating_sub(1))));
        Ok(Page { events: found.events.into_iter().map(|(_, shown)| shown).collect(), older, newer })
    }

    /// Reads the matching updates from one position up to another, oldest first.
    ///
    /// `None` if there are more than a stretch may have.
    async fn stretch(
        &self,
        begin: u64,
        end: u64,
        found: &mut Found,
    ) -> Result<Option<Vec<(Position, Shown)>>, ReadError> {
        let mut here = Found::default();
        let mut through = Position(begin.saturating_sub(1));
        'reading: while through.0 + 1 < end {
            let page = self.hub.log().read(through, READ).await?;
            through = page.through;
            for entry in page.entries {
                if entry.position.0 >= end {
                    break 'reading;
                }
                self.add(entry, &mut here);
            }
            if end - begin > SHORTEST && (here.searched > LONGEST as usize || here.bytes >= MAX_BYTES / 4) {
                found.searched += here.searched;
                found.bytes += here.bytes;
                return Ok(None);
            }
            if page.end {
                break;
            }
            // A long search must not delay others.
            tokio::task::yield_now().await;
        }
        found.searched += here.searched;
        found.bytes += here.bytes;
        Ok(Some(here.events))
    }

    fn add(&self, entry: Entry, found: &mut Found) {
        found.searched += 1;
        found.bytes += entry.record.size();
        let Entry { position, time, record } = entry;
        let token = self.token.as_deref();
        let (is_wanted, _) = selects(&self.selectors, &record.topics);
        let is_hidden =
            |prefix: &String| record.topics.first().is_some_and(|topic| topic.starts_with(&**prefix));
        if !is_wanted
            || self.hidden.as_ref().is_some_and(is_hidden)
            || !may_read(token, &record.topics, record.private)
        {
            return;
        }
        // The topics of a private update that the reader's token does not grant may name the other readers.
        let is_open = |topic: &str| !record.private || token.is_some_and(|token| token.may_subscribe(topic));
        let mut open = record.topics.iter().filter(|topic| is_open(topic));
        let topics = open.by_ref().take(MAX_TOPICS).cloned().collect();
        let more_topics = open.count();
        let (event, data, size) = preview(&record.body);
        let id = record.id.map_or_else(|| self.hub.ids().id(position), Into::into);
        let private = record.private;
        let time = milliseconds(time);
        found.events.push((position, Shown { id, topics, more_topics, private, time, event, data, size }));
    }
}

/// Name, beginning of the data, and size of the data of an encoded event.
fn preview(body: &[u8]) -> (String, String, usize) {
    let mut decoder = Decoder::new();
    let mut items = decoder.feed(body);
    while let Some(item) = items.next() {
        if let Ok(Item::Message(message)) = item {
            let data = message.data;
            let mut end = data.len().min(MAX_DATA);
            while !data.is_char_boundary(end) {
                end -= 1;
            }
            return (message.event.to_owned(), data[..end].to_owned(), data.len());
        }
    }
    ("message".to_owned(), String::new(), 0)
}

/// Positions of the shortest stretch, and of the longest one where updates are dense.
const SHORTEST: u64 = 64;
const LONGEST: u64 = 4096;
