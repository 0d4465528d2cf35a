//! RFC 8878: frames, of which there may be any number, one after the other.

use std::io::{self, Write};

use zstd::stream::write::Encoder;

const LEVEL: i32 = 3;
/// The binary logarithm of the window of a stream that goes on: 256 KiB, where the level would take 2 MiB.
const WINDOW: u32 = 18;

pub(super) struct Compressor(Encoder<'static, Vec<u8>>);

impl Compressor {
    pub(super) fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
        encoder.window_log(WINDOW)?;
        Ok(Self(encoder))
    }

    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()?;
        out.append(self.0.get_mut());
        Ok(())
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) -> io::Result<()> {
        out.append(&mut self.0.finish()?);
        Ok(())
    }
}

pub(super) fn compress(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    *out = zstd::bulk::compress(bytes, LEVEL)?;
    Ok(())
}
