//! The visitors in the room, and the queue of those that wait for a seat. No sockets.

use std::collections::VecDeque;

/// A room with a number of seats, and a queue of visitors in the order of their arrival.
#[derive(Debug)]
pub(crate) struct WaitingRoom<V> {
    seats: usize,
    inside: Vec<V>,
    queue: VecDeque<V>,
}

impl<V: Clone + PartialEq> WaitingRoom<V> {
    pub(crate) fn new(seats: usize) -> Self {
        Self { seats, inside: Vec::new(), queue: VecDeque::new() }
    }

    /// Takes a seat, or joins the queue. A visitor that is here already stays where it is.
    pub(crate) fn arrive(&mut self, visitor: V) {
        if self.position(&visitor).is_none() {
            self.queue.push_back(visitor);
            self.admit_next();
        }
    }

    /// Returns the visitor that enters instead.
    pub(crate) fn leave(&mut self, visitor: &V) -> Option<V> {
        self.inside.retain(|other| other != visitor);
        self.queue.retain(|other| other != visitor);
        self.admit_next()
    }

    /// Returns 0 inside, 1 for the next visitor to enter; `None` for a visitor that is not here.
    pub(crate) fn position(&self, visitor: &V) -> Option<usize> {
        match self.inside.contains(visitor) {
            true => Some(0),
            false => self.queue.iter().position(|other| other == visitor).map(|index| index + 1),
        }
    }

    pub(crate) fn inside(&self) -> &[V] {
        &self.inside
    }

    /// In their order.
    pub(crate) fn queue(&self) -> impl ExactSizeIterator<Item = &V> {
        self.queue.iter()
    }

    pub(crate) fn seats(&self) -> usize {
        self.seats
    }

    fn admit_next(&mut self) -> Option<V> {
        if self.inside.len() >= self.seats {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.inside.push(next.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::WaitingRoom;

    #[test]
    fn waiting_visitors_enter_in_the_order_of_arrival() {
        let mut room = WaitingRoom::new(2);
        for visitor in ["Ada", "Grace", "Alan", "Edsger", "Ada"] {
            room.arrive(visitor);
        }
        assert_eq!(room.inside(), ["Ada", "Grace"]);
        assert_eq!(
            ["Grace", "Alan", "Edsger", "Kurt"].map(|visitor| room.position(&visitor)),
            [Some(0), Some(1), Some(2), None]
        );
        assert_eq!(room.leave(&"Ada"), Some("Alan"));
        assert_eq!(room.inside(), ["Grace", "Alan"]);
        assert_eq!(room.leave(&"Edsger"), None);
        assert_eq!(room.leave(&"Grace"), None);
        room.arrive("Kurt");
        assert_eq!(room.position(&"Kurt"), Some(0));
    }
}
