/// Deadlines in whole ticks: whoever is due is handed out once, and puts themselves in again.
///
/// One entry of eight bytes each; a deadline further away than the wheel turns is handed out early, to be put in again.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    spokes: Vec<Vec<T>>,
    /// The ticks up to here have been handed out.
    now: u64,
}

impl<T> Wheel<T> {
    /// A wheel that turns once in so many ticks.
    pub(super) fn new(ticks: usize) -> Self {
        Self { spokes: (0..ticks.max(2)).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// To be handed out at that tick; at the next one if it is over.
    pub(super) fn insert(&mut self, at: u64, item: T) {
        let furthest = self.now + self.spokes.len() as u64 - 1;
        let at = at.clamp(self.now + 1, furthest);
        let spoke = self.spoke(at);
        self.spokes[spoke].push(item);
    }

    /// All that is due up to that tick.
    pub(super) fn turn(&mut self, to: u64) -> Vec<T> {
        let mut due = Vec::new();
        // After a long halt each spoke is due once.
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
    use super::Wheel;

    #[test]
    fn each_is_due_once_in_its_time_or_early_when_it_is_far_away() {
        let mut wheel = Wheel::new(8);
        for (at, name) in [(3, "three"), (0, "over"), (100, "far"), (7, "seven")] {
            wheel.insert(at, name);
        }
        assert_eq!(wheel.turn(0), Vec::<&str>::new());
        assert_eq!(wheel.turn(2), ["over"]);
        assert_eq!(wheel.turn(3), ["three"]);
        assert_eq!(wheel.turn(3), Vec::<&str>::new());
        assert_eq!(wheel.turn(50), ["far", "seven"]);
        wheel.insert(51, "next");
        assert_eq!(wheel.turn(51), ["next"]);
    }
}
