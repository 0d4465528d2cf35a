//! Where lines end. CR, LF and CRLF each end one.

/// The position of the first CR or LF.
#[inline]
pub(crate) fn line_end(text: &[u8]) -> Option<usize> {
    // Most lines are short, and a short line is found sooner by two words than by a call.
    let Some(words) = text.first_chunk::<16>() else {
        return text.iter().position(|&byte| byte == b'\n' || byte == b'\r');
    };
    let [first, second] = halves(words);
    let found = ends(first);
    if found != 0 {
        return Some(found.trailing_zeros() as usize / 8);
    }
    let found = ends(second);
    if found != 0 {
        return Some(8 + found.trailing_zeros() as usize / 8);
    }
    memchr::memchr2(b'\n', b'\r', &text[16..]).map(|at| at + 16)
}

/// The position of the first CR, LF or NUL.
#[inline]
pub(crate) fn line_end_or_nul(text: &[u8]) -> Option<usize> {
    if text.len() < 32 {
        return text.iter().position(|&byte| byte == b'\n' || byte == b'\r' || byte == 0);
    }
    memchr::memchr3(b'\n', b'\r', 0, text)
}

/// How many bytes the line break at the start of `text` takes: 2 for CRLF, else 1.
#[inline]
pub(crate) fn line_break(text: &[u8]) -> usize {
    if text.starts_with(b"\r\n") { 2 } else { 1 }
}

#[inline]
fn halves(words: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*words);
    [both as u64, (both >> 64) as u64]
}

/// The high bit of each byte that is CR or LF. Bytes above the first one found may be marked wrongly.
#[inline]
fn ends(word: u64) -> u64 {
    zeros(word ^ repeat(b'\n')) | zeros(word ^ repeat(b'\r'))
}

#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}
