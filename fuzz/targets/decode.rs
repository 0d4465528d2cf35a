//! Any bytes, split anywhere and decoded with any options, give the result of the standard's algorithm.
#![no_main]

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/wire/tests/suite/reference.rs"]
mod reference;

use reference::{Reading, decoded, standard};

/// The input of one run: a byte of flags, a limit, the sizes of the chunks, and then the stream.
///
/// The stream is last and unchanged, so that the seeds and the dictionary can be parts of the format.
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
    let expected = standard(stream, reading);
    assert_eq!(decoded(reading.decoder(), [stream]), expected, "at once");
    assert_eq!(decoded(reading.decoder(), stream.chunks(1)), expected, "byte by byte");
    assert_eq!(decoded(reading.decoder(), chunks(stream, sizes)), expected, "in chunks of {sizes:?}");
});

/// Splits the stream into chunks of these sizes, repeatedly; into one if all sizes are 0.
fn chunks(mut stream: &[u8], sizes: [u8; 4]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (chunk, rest) = stream.split_at(usize::from(*size).min(stream.len()));
        chunks.push(chunk);
        stream = rest;
        if sizes == [0; 4] {
            chunks.push(stream);
            break;
        }
    }
    chunks
}
