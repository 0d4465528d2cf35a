//! RFC 7932. Its meta-blocks can be put one after the other when each piece ends at a byte and refers to
//! nothing before it, not even to the last two bytes; the encoder calls this catable and bare.

use std::io::{self, Write};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;

/// A window of 256 KiB, and an empty meta-block up to the byte's end.
pub(super) const HEADER: [u8; 2] = [(WINDOW as u8 - 17) << 1 | 1 | 3 << 5, 0];
/// The last meta-block, which is empty.
pub(super) const LAST: [u8; 1] = [3];
/// Its binary logarithm.
const WINDOW: u32 = 18;
const QUALITY: u32 = 5;
const BUFFER: usize = 4 << 10;

pub(super) struct Compressor(CompressorWriter<Vec<u8>>);

impl Compressor {
    pub(super) fn new() -> Self {
        Self(CompressorWriter::new(Vec::new(), BUFFER, QUALITY, WINDOW))
    }

    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()?;
        out.append(self.0.get_mut());
        Ok(())
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        out.append(&mut self.0.into_inner());
    }
}

pub(super) fn compress(mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let params = BrotliEncoderParams {
        quality: QUALITY as i32,
        lgwin: WINDOW as i32,
        size_hint: bytes.len(),
        appendable: true,
        catable: true,
        bare_stream: true,
        byte_align: true,
        use_dictionary: false,
        ..BrotliEncoderParams::default()
    };
    brotli::BrotliCompress(&mut bytes, out, &params)?;
    Ok(())
}
