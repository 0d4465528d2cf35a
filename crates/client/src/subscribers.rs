use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::Message;

/// The policy for a subscriber that does not read in time: its buffer is full and another event for it
/// arrives.
///
/// A subscriber that loses events gets [`Lagged`](crate::SelectError::Lagged); its oldest unread events go
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// The connection is read no further, so that in the end the server waits, as long as nobody else is kept
    /// waiting by that: as soon as another subscriber of the connection has read all that it has, the full
    /// one loses. A subscriber that is alone loses nothing; a [latest value](crate::Latest) has always read
    /// all that it has. The default.
    #[default]
    WaitUnlessOthersStarve,
    /// The connection is read no further, and all its subscribers wait for the slowest one. Nothing is lost.
    Wait,
    /// The connection is always read on: a slow subscriber loses events.
    Lose,
}

/// How much a subscriber may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Buffer {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) when_full: WhenFull,
}

/// An item for a subscriber.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Message(Message),
    TooLarge { limit: usize },
}

/// The next item of an inbox.
#[derive(Debug)]
pub(crate) enum InboxItem {
    Delivery(Delivery),
    Lagged(u64),
}

/// The subscribers of a connection, each with an inbox.
#[derive(Debug)]
pub(crate) struct Subscribers {
    buffer: Buffer,
    next: u64,
    all: BTreeMap<u64, Subscriber>,
    /// To be woken once no lock is held.
    woken: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    /// The name it selects; all names when `None`.
    event: Option<Arc<str>>,
    inbox: Inbox,
}

enum Inbox {
    /// Read by a stream.
    Queue(Queue),
    /// Called as events arrive. Never full, always waiting for more.
    Call(Callback),
}

pub(crate) type Callback = Arc<Mutex<dyn FnMut(&Delivery) + Send>>;

#[derive(Debug, Default)]
struct Queue {
    deliveries: VecDeque<Delivery>,
    bytes: usize,
    lost: u64,
    /// Set while it has nothing to read and waits.
    waker: Option<Waker>,
}

/// The answer to [`Subscribers::offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    /// No subscriber has it yet. A buffer is full: come back when it has room or the others have read all.
    Full,
    /// No subscriber has it yet. One is about to lose events: give it a chance to read, then
    /// [`Subscribers::force`].
    Losing,
}

impl Subscribers {
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self { buffer, next: 0, all: BTreeMap::new(), woken: Vec::new() }
    }

    pub(crate) fn add(&mut self, event: Option<Arc<str>>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.all.insert(id, Subscriber { event, inbox: Inbox::Queue(Queue::default()) });
        id
    }

    /// The answer is to be dropped once no lock is held, since a closure of the caller may drop anything.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Subscriber> {
        self.all.remove(&id)
    }

    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Calls the subscriber from now on; returns its unread deliveries.
    pub(crate) fn call(&mut self, id: u64, callback: Callback) -> VecDeque<Delivery> {
        let Some(subscriber) = self.all.get_mut(&id) else { return VecDeque::new() };
        match std::mem::replace(&mut subscriber.inbox, Inbox::Call(callback)) {
            Inbox::Queue(queue) => queue.deliveries,
            Inbox::Call(_) => VecDeque::new(),
        }
    }

    /// The callbacks that want this.
    pub(crate) fn callbacks(&self, delivery: &Delivery) -> Vec<Callback> {
        let wanting = self.all.values().filter(|subscriber| subscriber.wants(delivery));
        wanting
            .filter_map(|subscriber| match &subscriber.inbox {
                Inbox::Call(callback) => Some(Arc::clone(callback)),
                Inbox::Queue(_) => None,
            })
            .collect()
    }

    /// Puts it into every queue that wants it, or into none.
    pub(crate) fn offer(&mut self, delivery: &Delivery) -> Offer {
        let buffer = self.buffer;
        let mut full = self.all.values().filter(|it| it.wants(delivery) && it.is_full(delivery, buffer));
        if full.next().is_none() {
            self.force(delivery);
            return Offer::Taken;
        }
        let loses = match buffer.when_full {
            WhenFull::Wait => false,
            WhenFull::WaitUnlessOthersStarve => self.all.values().any(Subscriber::starves),
            WhenFull::Lose => true,
        };
        if loses { Offer::Losing } else { Offer::Full }
    }

    /// Puts it into every queue that wants it; full ones lose their oldest.
    pub(crate) fn force(&mut self, delivery: &Delivery) {
        let buffer = self.buffer;
        for subscriber in self.all.values_mut().filter(|it| it.wants(delivery)) {
            while subscriber.is_full(delivery, buffer) {
                subscriber.drop_oldest();
            }
            if let Inbox::Queue(queue) = &mut subscriber.inbox {
                queue.bytes += delivery.size();
                queue.deliveries.push_back(delivery.clone());
                self.woken.extend(queue.waker.take());
            }
        }
    }

    /// The next thing in the subscriber's inbox; registers to be woken when there is none.
    pub(crate) fn poll(&mut self, id: u64, context: &mut Context<'_>) -> Poll<InboxItem> {
        let Some(Subscriber { inbox: Inbox::Queue(queue), .. }) = self.all.get_mut(&id) else {
            return Poll::Pending;
        };
        if queue.lost > 0 {
            return Poll::Ready(InboxItem::Lagged(std::mem::take(&mut queue.lost)));
        }
        if let Some(delivery) = queue.deliveries.pop_front() {
            queue.bytes -= delivery.size();
            return Poll::Ready(InboxItem::Delivery(delivery));
        }
        match &mut queue.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => queue.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Wakes every stream, because the connection has changed.
    pub(crate) fn wake_all(&mut self) {
        for subscriber in self.all.values_mut() {
            if let Inbox::Queue(queue) = &mut subscriber.inbox {
                self.woken.extend(queue.waker.take());
            }
        }
    }

    /// Drops all that was not read.
    pub(crate) fn clear(&mut self) {
        for subscriber in self.all.values_mut() {
            if let Inbox::Queue(queue) = &mut subscriber.inbox {
                queue.deliveries.clear();
                queue.bytes = 0;
                queue.lost = 0;
            }
        }
    }
}

impl Subscriber {
    fn wants(&self, delivery: &Delivery) -> bool {
        match (&self.event, delivery) {
            (Some(event), Delivery::Message(message)) => **event == *message.event(),
            (None, _) | (_, Delivery::TooLarge { .. }) => true,
        }
    }

    /// One delivery always fits, however large.
    fn is_full(&self, delivery: &Delivery, buffer: Buffer) -> bool {
        let Inbox::Queue(queue) = &self.inbox else { return false };
        !queue.deliveries.is_empty()
            && (queue.deliveries.len() >= buffer.events || queue.bytes + delivery.size() > buffer.bytes)
    }

    fn starves(&self) -> bool {
        match &self.inbox {
            Inbox::Queue(queue) => queue.waker.is_some(),
            Inbox::Call(_) => true,
        }
    }

    fn drop_oldest(&mut self) {
        if let Inbox::Queue(queue) = &mut self.inbox
            && let Some(delivery) = queue.deliveries.pop_front()
        {
            queue.bytes -= delivery.size();
            queue.lost += 1;
        }
    }
}

impl Delivery {
    fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            Self::TooLarge { .. } => size_of::<Self>(),
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => queue.fmt(f),
            Self::Call(_) => f.write_str("Call"),
        }
    }
}
