//! Request that publishes events: built once, and stamped each time it is sent.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::payload::{Mark, SIZE};

/// Bytes of a request, and the offsets of the marks in them.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    bytes: Vec<u8>,
    marks: Vec<usize>,
}

impl Publication {
    /// Builds a request from a head without its length and its end, and a template for each event.
    ///
    /// The events of a batch are lines.
    ///
    /// # Errors
    /// When the template does not contain the place of the data exactly once, or the request is too large.
    pub(super) fn new(head: &str, template: &str, size: u32, batch: u32) -> Result<Self> {
        let parts: Vec<&str> = template.split(PLACE).collect();
        let &[before, after] = &parts[..] else {
            anyhow::bail!("--body must contain {PLACE} exactly once: {template}");
        };
        let end = if batch > 1 { "\n" } else { "" };
        let event = before.len() + size as usize + after.len() + end.len();
        let length = event.saturating_mul(batch as usize);
        ensure!(
            length <= LARGEST,
            "a publication of {length} bytes is too large, the limit is {LARGEST}: use a smaller batch"
        );
        let mut bytes = format!("{head}content-length: {length}\r\n\r\n").into_bytes();
        let mut marks = Vec::with_capacity(batch as usize);
        let mark = Mark { run: 0, publisher: 0, number: 0, at: Duration::ZERO };
        for _ in 0..batch {
            bytes.extend_from_slice(before.as_bytes());
            let at = bytes.len();
            marks.push(at);
            bytes.resize(at + size as usize, b'x');
            mark.write(&mut bytes[at..at + SIZE]);
            bytes.extend_from_slice(after.as_bytes());
            bytes.extend_from_slice(end.as_bytes());
        }
        Ok(Self { bytes, marks })
    }

    /// Number of events that it publishes.
    pub(super) fn events(&self) -> u32 {
        u32::try_from(self.marks.len()).expect("a batch")
    }

    /// Returns the request with the events from this one on.
    pub(super) fn stamp(&mut self, mut mark: Mark) -> &[u8] {
        for &at in &self.marks {
            mark.write(&mut self.bytes[at..at + SIZE]);
            mark.number += 1;
        }
        &self.bytes
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Stands for the data of an event in a template.
const PLACE: &str = "{data}";

/// Maximum size of a body in bytes.
const LARGEST: usize = 64 << 20;

/// Permitted sizes of an event's data in bytes.
pub(super) const SIZES: RangeInclusive<u32> = SIZE as u32..=1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Marks;

    #[test]
    fn a_batch_is_stamped_with_consecutive_numbers() {
        let mut publication = Publication::new("POST / HTTP/1.1\r\n", "<{data}>", 40, 3).expect("a template");
        let mark = Mark { run: 1, publisher: 2, number: 30, at: Duration::from_nanos(4) };
        let request = publication.stamp(mark);
        let (_, body) = request.split_at(request.len() - 3 * 43);
        assert!(String::from_utf8_lossy(request).contains("\r\ncontent-length: 129\r\n\r\n<~"));
        assert!(body.split(|byte| *byte == b'\n').take(3).all(|line| line.len() == 42));
        let mut marks = Vec::new();
        Marks::default().find(body, |mark| marks.push(mark));
        assert_eq!(marks, [30, 31, 32].map(|number| Mark { number, ..mark }));
    }

    #[test]
    fn templates_without_one_place_and_large_batches_are_refused() {
        for template in ["", "{data}{data}"] {
            Publication::new("", template, 100, 1).expect_err(template);
        }
        Publication::new("", "{data}", 1 << 20, 1000).expect_err("a gigabyte");
    }
}
