use smallvec::SmallVec;

/// A set of places in a topic, its end included; 64 of them in each word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(SmallVec<[u64; 4]>);

impl Places {
    /// The number of words that the places of a topic of this length take.
    pub(super) fn words(length: usize) -> usize {
        length / 64 + 1
    }

    pub(super) fn none(length: usize) -> Self {
        Self(SmallVec::from_elem(0, Self::words(length)))
    }

    pub(super) fn start(length: usize) -> Self {
        let mut places = Self::none(length);
        places.add(0);
        places
    }

    pub(super) fn add(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether there are so few that it is quicker to look at each.
    pub(super) fn are_few(&self) -> bool {
        self.0.iter().map(|word| word.count_ones()).sum::<u32>() <= FEW
    }

    pub(super) fn join(&mut self, others: &Self) {
        self.change(others, |word, other| word | other);
    }

    pub(super) fn keep(&mut self, others: &Self) {
        self.change(others, |word, other| word & other);
    }

    pub(super) fn remove(&mut self, others: &Self) {
        self.change(others, |word, other| word & !other);
    }

    fn change(&mut self, others: &Self, change: impl Fn(u64, u64) -> u64) {
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            *word = change(*word, *other);
        }
    }

    /// The places one byte later. The end is none of these.
    pub(super) fn next(&self) -> Self {
        let mut carry = 0;
        let words = self.0.iter().map(|word| {
            let next = word << 1 | carry;
            carry = word >> 63;
            next
        });
        Self(words.collect())
    }

    /// Adds all places that are reached through these others alone, each of which leads to the next place.
    pub(super) fn run(&mut self, others: &Self) {
        // Adding a one to a run of ones, at the place where it is entered, clears the run from there on and sets the place behind it: what
        // changes is reached.
        let mut carry = false;
        for (word, other) in self.0.iter_mut().zip(&others.0) {
            let (sum, over) = (*word & other).overflowing_add(*other);
            let (sum, more) = sum.overflowing_add(u64::from(carry));
            *word |= sum ^ other;
            carry = over || more;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (bit < 64).then(|| {
                    word &= word - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

/// At most so many places are few.
const FEW: u32 = 8;
