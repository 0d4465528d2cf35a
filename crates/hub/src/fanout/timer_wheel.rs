//! Timer wheel: deadlines in whole ticks.

/// Timer wheel. An item is returned once when it is due, and its owner inserts it again.
///
/// An entry takes eight bytes. A deadline beyond one turn of the wheel is returned early, and is inserted
/// again.
#[derive(Debug)]
pub(super) struct TimerWheel<T> {
    spokes: Vec<Vec<T>>,
    /// Tick up to which items were returned.
    now: u64,
}

impl<T> TimerWheel<T> {
    /// Makes a wheel with this number of ticks per turn.
    pub(super) fn new(ticks: usize) -> Self {
        Self { spokes: (0..ticks.max(2)).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// Inserts an item that is due at this tick, or at the next one if the tick is over.
    pub(super) fn insert(&mut self, at: u64, item: T) {
        let furthest = self.now + self.spokes.len() as u64 - 1;
        let at = at.clamp(self.now + 1, furthest);
        let spoke = self.spoke(at);
        self.spokes[spoke].push(item);
    }

    /// Returns all items that are due up to this tick.
    pub(super) fn advance(&mut self, to: u64) -> Vec<T> {
        let mut due = Vec::new();
        // After a long pause, each spoke is due once.
        let from = self.now.max(to.saturating_sub(self.spokes.len() as u64));
        for tick in from + 1..=to {
            let spoke = self.spoke(tick);
            due.append(&mut self.spokes[spoke]);
        }
        self.now = self.now.max(to);
        due
    }

    fn spoke(&self, tick: u64) -> usize {
        (tick % self.spokes.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::TimerWheel;

    #[test]
    fn each_is_due_once_in_its_time_or_early_when_it_is_far_away() {
        let mut wheel = TimerWheel::new(8);
        for (at, name) in [(3, "three"), (0, "over"), (100, "far"), (7, "seven")] {
            wheel.insert(at, name);
        }
        assert_eq!(wheel.advance(0), Vec::<&str>::new());
        assert_eq!(wheel.advance(2), ["over"]);
        assert_eq!(wheel.advance(3), ["three"]);
        assert_eq!(wheel.advance(3), Vec::<&str>::new());
        assert_eq!(wheel.advance(50), ["far", "seven"]);
        wheel.insert(51, "next");
        assert_eq!(wheel.advance(51), ["next"]);
    }
}
