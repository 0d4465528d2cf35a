//! Sets of offsets in a topic, as bits.

use smallvec::SmallVec;

/// Set of offsets in a topic, including its end; a word holds 64 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places(SmallVec<[u64; 4]>);

impl Places {
    /// Number of words for the offsets of a topic of this length.
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

    /// Whether there are so few offsets that looking at each is faster.
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

    /// The offsets one byte later. The end has none.
    pub(super) fn next(&self) -> Self {
        let mut carry = 0;
        let words = self.0.iter().map(|word| {
            let next = word << 1 | carry;
            carry = word >> 63;
            next
        });
        Self(words.collect())
    }

    /// Adds all offsets that can be reached through these others, each of which leads to the next.
    pub(super) fn run(&mut self, others: &Self) {
        // Adding a one to a run of ones, at the offset at which the run is entered, clears the run from there
        // on and sets the offset behind it. The changed bits are those that are reached.
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

/// Maximum number of offsets that count as few.
const FEW: u32 = 8;
