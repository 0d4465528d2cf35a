//! The visitors in the room, and those that wait for a seat. No sockets.

use std::collections::VecDeque;

/// A door that lets in as many as there are seats, and the others one by one, in the order in which they
/// came.
#[derive(Debug)]
pub(crate) struct Door<V> {
    seats: usize,
    inside: Vec<V>,
    line: VecDeque<V>,
}

impl<V: Clone + PartialEq> Door<V> {
    pub(crate) fn new(seats: usize) -> Self {
        Self { seats, inside: Vec::new(), line: VecDeque::new() }
    }

    /// Takes a seat, or the last place in the line. A visitor that is here already stays where it is.
    pub(crate) fn arrive(&mut self, visitor: V) {
        if self.place(&visitor).is_none() {
            self.line.push_back(visitor);
            self.let_in();
        }
    }

    /// Returns the visitor that enters instead.
    pub(crate) fn leave(&mut self, visitor: &V) -> Option<V> {
        self.inside.retain(|other| other != visitor);
        self.line.retain(|other| other != visitor);
        self.let_in()
    }

    /// Returns 0 inside, 1 for the next visitor to enter; `None` for a visitor that is not here.
    pub(crate) fn place(&self, visitor: &V) -> Option<usize> {
        match self.inside.contains(visitor) {
            true => Some(0),
            false => self.line.iter().position(|other| other == visitor).map(|index| index + 1),
        }
    }

    pub(crate) fn inside(&self) -> &[V] {
        &self.inside
    }

    /// In their order.
    pub(crate) fn line(&self) -> impl ExactSizeIterator<Item = &V> {
        self.line.iter()
    }

    pub(crate) fn seats(&self) -> usize {
        self.seats
    }

    fn let_in(&mut self) -> Option<V> {
        if self.inside.len() >= self.seats {
            return None;
        }
        let next = self.line.pop_front()?;
        self.inside.push(next.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::Door;

    #[test]
    fn those_who_wait_enter_in_the_order_in_which_they_came() {
        let mut door = Door::new(2);
        for visitor in ["Ada", "Grace", "Alan", "Edsger", "Ada"] {
            door.arrive(visitor);
        }
        assert_eq!(door.inside(), ["Ada", "Grace"]);
        assert_eq!(
            ["Grace", "Alan", "Edsger", "Kurt"].map(|who| door.place(&who)),
            [Some(0), Some(1), Some(2), None]
        );
        assert_eq!(door.leave(&"Ada"), Some("Alan"));
        assert_eq!(door.inside(), ["Grace", "Alan"]);
        assert_eq!(door.leave(&"Edsger"), None);
        assert_eq!(door.leave(&"Grace"), None);
        door.arrive("Kurt");
        assert_eq!(door.place(&"Kurt"), Some(0));
    }
}
