//! Any bytes, cut anywhere and read in any way, give the result of the standard's algorithm.
#![no_main]

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wire/tests/suite/reference.rs"]
mod reference;

use reference::{Reading, decoded, standard};

/// The stream comes last, as it is, so that the corpus and the dictionary speak the format. Before it: a byte
/// of flags and a limit, and the size of the pieces.
#[derive(Debug)]
struct Input<'a> {
    reading: Reading,
    sizes: [u8; 4],
    stream: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let flags: u8 = input.arbitrary()?;
        let limit: u8 = input.arbitrary()?;
        let sizes = input.arbitrary()?;
        let max_event_bytes = if flags & 2 == 0 { usize::MAX } else { usize::from(limit) };
        let reading = Reading { comments: flags & 1 != 0, max_event_bytes };
        let stream = input.bytes(input.len())?;
        Ok(Self { reading, sizes, stream })
    }

    fn arbitrary_take_rest(mut input: Unstructured<'a>) -> Result<Self> {
        Self::arbitrary(&mut input)
    }
}

fuzz_target!(|input: Input<'_>| {
    let Input { reading, sizes, stream } = input;
    let wanted = standard(stream, reading);
    assert_eq!(decoded(reading.decoder(), [stream]), wanted, "whole");
    assert_eq!(decoded(reading.decoder(), stream.chunks(1)), wanted, "byte by byte");
    assert_eq!(decoded(reading.decoder(), pieces(stream, sizes)), wanted, "in pieces of {sizes:?}");
});

/// Pieces of these sizes, again and again; none is endless, even if all are empty.
fn pieces(mut stream: &[u8], sizes: [u8; 4]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(usize::from(*size).min(stream.len()));
        pieces.push(piece);
        stream = rest;
        if sizes == [0; 4] {
            pieces.push(stream);
            break;
        }
    }
    pieces
}
