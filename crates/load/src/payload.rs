//! Marks at the beginning of each event's data, which identify the event and its time of publication.

use std::time::{Duration, Instant};

/// Identity of an event in a run.
///
/// In the data of an event it is `~` and 31 digits, which remain unchanged in a form, a JSON string and a
/// URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the run.
    pub(super) run: u32,
    /// Number of the publisher in the run, from 0.
    pub(super) publisher: u32,
    /// Number of the event of this publisher, from 0.
    pub(super) number: u32,
    /// Time of publication, by the run's [`Clock`].
    pub(super) at: Duration,
}

impl Mark {
    /// Writes the mark over `place`, which has [`SIZE`] bytes.
    ///
    /// Digits above the limit of a member are dropped.
    pub(super) fn write(&self, place: &mut [u8]) {
        let (sign, digits) = place.split_at_mut(1);
        sign[0] = SIGN;
        let at = u64::try_from(self.at.as_nanos()).unwrap_or(u64::MAX);
        let mut rest = digits;
        for (width, value) in
            WIDTHS.into_iter().zip([self.run.into(), self.publisher.into(), self.number.into(), at])
        {
            let (field, after) = rest.split_at_mut(width);
            let mut value: u64 = value;
            for digit in field.iter_mut().rev() {
                *digit = b'0' + u8::try_from(value % 10).expect("a digit");
                value /= 10;
            }
            rest = after;
        }
    }

    /// Reads a mark from [`SIZE`] bytes, if they are one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (&SIGN, mut rest) = bytes.split_first()? else { return None };
        let mut fields = [0_u64; 4];
        for (width, field) in WIDTHS.into_iter().zip(&mut fields) {
            let (digits, after) = rest.split_at_checked(width)?;
            for digit in digits {
                *field = *field * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            }
            rest = after;
        }
        let [run, publisher, number, at] = fields;
        let small = |field: u64| u32::try_from(field).ok();
        Some(Self {
            run: small(run)?,
            publisher: small(publisher)?,
            number: small(number)?,
            at: Duration::from_nanos(at),
        })
    }
}

/// Finds marks in a stream of pieces.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Beginning of a mark whose end has not arrived.
    cut: Vec<u8>,
}

impl Marks {
    /// Passes on the marks that end in this piece, in order.
    pub(super) fn find(&mut self, mut piece: &[u8], mut each: impl FnMut(Mark)) {
        while !self.cut.is_empty() {
            let (missing, after) = piece.split_at(piece.len().min(SIZE - self.cut.len()));
            self.cut.extend_from_slice(missing);
            piece = after;
            if self.cut.len() < SIZE {
                return;
            }
            let mut from = SIZE;
            match Mark::read(&self.cut) {
                Some(mark) => each(mark),
                None => from = memchr::memchr(SIGN, &self.cut[1..]).map_or(SIZE, |at| at + 1),
            }
            self.cut.drain(..from);
        }
        while let Some(at) = memchr::memchr(SIGN, piece) {
            let Some(bytes) = piece.get(at..at + SIZE) else {
                self.cut.extend_from_slice(&piece[at..]);
                return;
            };
            let mark = Mark::read(bytes);
            piece = &piece[at + if mark.is_some() { SIZE } else { 1 }..];
            mark.into_iter().for_each(&mut each);
        }
    }
}

/// Monotonic clock, from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

const SIGN: u8 = b'~';

/// Digits of run, publisher, number and time in nanoseconds, which lasts for 27 hours.
const WIDTHS: [usize; 4] = [5, 3, 9, 14];

/// Number of bytes of a mark.
pub(super) const SIZE: usize = 32;

/// Number of different runs.
pub(super) const RUNS: u32 = 100_000;

/// Maximum number of publishers of a run.
pub(super) const PUBLISHERS: u32 = 1000;

/// Maximum number of events of a publisher.
pub(super) const EVENTS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn marks() -> impl Strategy<Value = Mark> {
        (0..RUNS, 0..PUBLISHERS, 0..EVENTS, 0..100_000_000_000_000_u64).prop_map(
            |(run, publisher, number, nanos)| Mark {
                run,
                publisher,
                number,
                at: Duration::from_nanos(nanos),
            },
        )
    }

    proptest! {
        #[test]
        fn any_division_into_pieces_gives_the_written_marks(
            marks in vec((marks(), "[ -~\n]{0,40}"), 0..8),
            cuts in vec(0_usize..600, 0..12),
        ) {
            let mut stream = Vec::new();
            for (mark, noise) in &marks {
                // With a sign and digits directly before it, a mark would be another one.
                stream.extend_from_slice(noise.as_bytes());
                stream.push(b' ');
                let from = stream.len();
                stream.resize(from + SIZE, 0);
                mark.write(&mut stream[from..]);
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let (mut found, mut finder, mut from) = (Vec::new(), Marks::default(), 0);
            for cut in cuts {
                finder.find(&stream[from..cut], |mark| found.push(mark));
                from = cut;
            }
            let written: Vec<Mark> = marks.iter().map(|(mark, _)| *mark).collect();
            prop_assert_eq!(found, written);
        }
    }

    #[test]
    fn similar_bytes_are_no_mark() {
        let mut found = 0;
        Marks::default().find(b"~123 ~~~ ~00001000000000001000000000000x2 ~", |_| found += 1);
        assert_eq!(found, 0);
    }
}
