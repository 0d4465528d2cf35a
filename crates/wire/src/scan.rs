//! Where lines end. CR, LF and CRLF each end one.

use wide::u8x16;

/// The position of the first CR or LF.
#[inline]
pub(crate) fn line_end(text: &[u8]) -> Option<usize> {
    if text.len() < PART {
        return text.iter().position(|&byte| is_end(byte));
    }
    LineEnds::new(text).next(0)
}

/// The line ends of a text, found 64 bytes at a time and remembered for the next lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineEnds<'a> {
    text: &'a [u8],
    /// Where the block starts whose ends are known.
    block: usize,
    /// A bit for each byte of the block that is CR or LF.
    ends: u64,
    /// From here on there is none.
    none_from: usize,
}

impl<'a> LineEnds<'a> {
    #[inline]
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, block: 0, ends: ends(text), none_from: text.len() }
    }

    /// Whether there is none in a text of one block.
    #[inline]
    pub(crate) fn is_none_in_small_text(&self) -> bool {
        self.ends == 0 && self.text.len() <= BLOCK
    }

    /// The position of the first CR or LF at `from` or behind it.
    #[inline(always)]
    pub(crate) fn next(&mut self, from: usize) -> Option<usize> {
        if from >= self.none_from {
            return None;
        }
        let block = from & !(BLOCK - 1);
        if block != self.block {
            self.read(block);
        }
        let ends = self.ends & (u64::MAX << (from & (BLOCK - 1)));
        if ends != 0 {
            return Some(block + ends.trailing_zeros() as usize);
        }
        let found = if self.text.len() - block <= BLOCK { None } else { self.next_block() };
        if found.is_none() {
            self.none_from = from;
        }
        found
    }

    /// The first CR or LF behind the block.
    #[inline]
    fn next_block(&mut self) -> Option<usize> {
        for _ in 0..NEAR {
            self.block += BLOCK;
            let Some(block) = self.text.get(self.block..).and_then(|rest| rest.first_chunk()) else {
                return self.last_block();
            };
            self.ends = block_ends(block);
            if self.ends != 0 {
                return Some(self.block + self.ends.trailing_zeros() as usize);
            }
        }
        self.next_far()
    }

    /// The same for the last bytes of the text.
    #[inline(never)]
    fn last_block(&mut self) -> Option<usize> {
        self.read(self.block);
        (self.ends != 0).then(|| self.block + self.ends.trailing_zeros() as usize)
    }

    /// The same for a line that is long enough to make a call pay.
    fn next_far(&mut self) -> Option<usize> {
        let far = self.block + BLOCK;
        let found = far + memchr::memchr2(b'\n', b'\r', self.text.get(far..)?)?;
        self.read(found & !(BLOCK - 1));
        Some(found)
    }

    #[inline]
    fn read(&mut self, block: usize) {
        self.block = block;
        self.ends = ends(self.text.get(block..).unwrap_or_default());
    }
}

/// Whether the text is one line.
#[inline]
pub(crate) fn is_one_line(text: &[u8]) -> bool {
    !has(text, [b'\n', b'\r']).unwrap_or_else(|| memchr::memchr2(b'\n', b'\r', text).is_some())
}

/// Whether the text is one line, and so short that this is quickly seen.
#[inline]
pub(crate) fn is_short_line(text: &[u8]) -> bool {
    has(text, [b'\n', b'\r']) == Some(false)
}

/// Whether the text is one line without NUL.
#[inline]
pub(crate) fn is_one_line_without_nul(text: &[u8]) -> bool {
    !has(text, [b'\n', b'\r', 0]).unwrap_or_else(|| memchr::memchr3(b'\n', b'\r', 0, text).is_some())
}

/// Whether the text has one of `wanted`; `None` if it is so long that a call finds out sooner.
#[inline]
fn has<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<bool> {
    let Some(tail) = text.last_chunk() else { return Some(has_any(text, wanted)) };
    if text.len() > SHORT {
        return None;
    }
    let found = |part: &[u8; PART]| {
        let part = u8x16::new(*part);
        wanted.iter().fold(u8x16::ZERO, |found, &wanted| found | part.simd_eq(u8x16::splat(wanted)))
    };
    let (parts, _) = text.as_chunks();
    Some(parts.iter().fold(found(tail), |before, part| before | found(part)).to_bitmask() != 0)
}

/// Whether HTTP gives back a header of this value as it is (RFC 9110, section 5.5): no control character but
/// tabs, and no space or tab at its ends.
#[inline]
pub(crate) fn is_header_value(text: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(text.first())
        && !is_blank(text.last())
        && (has_no_control(text) || not_in_header(text).is_none())
}

/// The first byte because of which a text is no value of a header.
pub(crate) fn not_in_header(text: &[u8]) -> Option<usize> {
    let last = text.len().saturating_sub(1);
    text.iter().enumerate().position(|(at, byte)| match byte {
        b' ' | b'\t' => at == 0 || at == last,
        byte => byte.is_ascii_control(),
    })
}

/// Whether the text has no control character; false also where that is not seen quickly.
#[inline]
fn has_no_control(text: &[u8]) -> bool {
    let Some(tail) = text.last_chunk() else {
        return words(text).is_some_and(|words| words.iter().all(|word| !has_control(*word)));
    };
    let controls = |part: &[u8; PART]| {
        let part = u8x16::new(*part);
        part.min(u8x16::splat(0x1F)).simd_eq(part) | part.simd_eq(u8x16::splat(0x7F))
    };
    let (parts, _) = text.as_chunks();
    parts.iter().fold(controls(tail), |before, part| before | controls(part)).to_bitmask() == 0
}

/// Whether a text of less than 16 bytes has one of `wanted`: two words, which may overlap, are tested.
#[inline]
fn has_any<const N: usize>(text: &[u8], wanted: [u8; N]) -> bool {
    // All that is wanted is CR or below, and little else is.
    let may_have = words(text).is_none_or(|words| words.iter().any(|word| has_below(*word, b'\r' + 1)));
    may_have && text.iter().any(|byte| wanted.contains(byte))
}

/// The bytes of a text of 4 to 15 bytes, in two words that may overlap.
#[inline]
fn words(text: &[u8]) -> Option<[u64; 2]> {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        Some([word(head), word(tail)])
    } else if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        Some([half(head) | half(tail) << 32; 2])
    } else {
        None
    }
}

/// Whether a byte of the word is below that one, which is ASCII.
#[inline]
fn has_below(word: u64, byte: u8) -> bool {
    word.wrapping_sub(ONES * u64::from(byte)) & !word & (ONES << 7) != 0
}

/// Whether a byte of the word is a control character of ASCII.
#[inline]
fn has_control(word: u64) -> bool {
    has_below(word, b' ') || has_below(word ^ (ONES * 0x7F), 1)
}

const ONES: u64 = u64::from_le_bytes([1; 8]);

/// How many bytes the line break at the start of `text` takes: 2 for CRLF, else 1.
#[inline]
pub(crate) fn line_break(text: &[u8]) -> usize {
    // A branch, so that later code does not wait for this byte.
    if text.first() == Some(&b'\r') { line_break_after_cr(text) } else { 1 }
}

#[cold]
fn line_break_after_cr(text: &[u8]) -> usize {
    if text.starts_with(b"\r\n") { 2 } else { 1 }
}

const BLOCK: usize = 64;
/// How many blocks are read before a call pays.
const NEAR: usize = 4;
const SHORT: usize = 256;
const PART: usize = 16;

/// A bit for each of the first 64 bytes that is CR or LF.
#[inline]
fn ends(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| last_ends(text), block_ends)
}

#[inline]
fn block_ends(block: &[u8; BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks();
    parts.iter().enumerate().fold(0, |ends, (at, part)| ends | part_ends(part) << (PART * at))
}

/// The same for a text that is shorter than that: its head and its tail, which may overlap and mark the same
/// bytes twice.
#[inline]
fn last_ends(text: &[u8]) -> u64 {
    if let (Some([a, b]), Some([c, d])) = (chunks::<2>(text), last_chunks::<2>(text)) {
        let head = part_ends(a) | part_ends(b) << PART;
        let tail = part_ends(c) | part_ends(d) << PART;
        return head | tail << (text.len() - 2 * PART);
    }
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        return part_ends(head) | part_ends(tail) << (text.len() - PART);
    }
    let mut part = [0; PART];
    if let (Some(head), Some(tail)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        part[..8].copy_from_slice(head);
        part[8..].copy_from_slice(tail);
        let ends = part_ends(&part);
        return ends & 0xFF | ends >> 8 << (text.len() - 8);
    }
    text.iter().enumerate().fold(0, |ends, (at, &byte)| ends | u64::from(is_end(byte)) << at)
}

#[inline]
fn chunks<const N: usize>(text: &[u8]) -> Option<&[[u8; PART]; N]> {
    text.as_chunks().0.first_chunk()
}

#[inline]
fn last_chunks<const N: usize>(text: &[u8]) -> Option<&[[u8; PART]; N]> {
    text.as_rchunks().1.last_chunk()
}

#[inline]
fn part_ends(part: &[u8; PART]) -> u64 {
    let part = u8x16::new(*part);
    let ends = part.simd_eq(u8x16::splat(b'\n')) | part.simd_eq(u8x16::splat(b'\r'));
    u64::from(ends.to_bitmask())
}

#[inline]
fn is_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}
