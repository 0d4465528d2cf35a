//! Compression that holds no event back: each piece for the transport is compressed and flushed at once.
//!
//! Streams that read a channel as it is get pieces that were compressed by themselves, once for all of them:
//! they refer to nothing before them, so that a stream can continue with them whatever it has read before.
//! Other streams have a compressor of their own, with a history.

mod accept;
#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "gzip")]
mod gzip;
mod piece_cache;
#[cfg(feature = "zstd")]
mod zstd;

use std::io;

use bytes::Bytes;

pub(crate) use self::piece_cache::PieceCache;

/// How a stream is compressed. Without a feature there is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[cfg(feature = "zstd")]
    Zstd,
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "gzip")]
    Gzip,
}

impl Encoding {
    /// As `Content-Encoding` says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            #[cfg(feature = "brotli")]
            Self::Brotli => "br",
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
        }
    }

    /// The header before pieces that are compressed by themselves.
    fn header(self) -> &'static [u8] {
        match self {
            #[cfg(feature = "zstd")]
            Self::Zstd => &[],
            #[cfg(feature = "brotli")]
            Self::Brotli => &brotli::HEADER,
            #[cfg(feature = "gzip")]
            Self::Gzip => &gzip::HEADER,
        }
    }
}

/// A stream's compressor.
pub(crate) struct Encoder {
    encoding: Encoding,
    /// None for a stream whose pieces are compressed by themselves.
    own: Option<Own>,
    begun: bool,
    #[cfg(feature = "gzip")]
    checksum: gzip::Checksum,
}

/// A compressor with a history.
enum Own {
    #[cfg(feature = "zstd")]
    Zstd(zstd::Compressor),
    #[cfg(feature = "brotli")]
    Brotli(Box<brotli::Compressor>),
    #[cfg(feature = "gzip")]
    Gzip(gzip::Compressor),
}

/// Bytes that were compressed by themselves.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    #[cfg(feature = "gzip")]
    checksum: gzip::Checksum,
}

impl Encoder {
    /// A compressor for a stream, which is to share its pieces with others or not.
    pub(crate) fn new(encoding: Encoding, shares: bool) -> io::Result<Self> {
        let own = match (shares, encoding) {
            (true, _) => None,
            #[cfg(feature = "zstd")]
            (false, Encoding::Zstd) => Some(Own::Zstd(zstd::Compressor::new()?)),
            #[cfg(feature = "brotli")]
            (false, Encoding::Brotli) => Some(Own::Brotli(Box::new(brotli::Compressor::new()))),
            #[cfg(feature = "gzip")]
            (false, Encoding::Gzip) => Some(Own::Gzip(gzip::Compressor::new())),
        };
        Ok(Self {
            encoding,
            own,
            begun: false,
            #[cfg(feature = "gzip")]
            checksum: gzip::Checksum::default(),
        })
    }

    /// The next bytes of the stream, compressed: a receiver can read all of them.
    pub(crate) fn encode(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        let Some(own) = &mut self.own else {
            let piece = Piece::new(self.encoding, bytes)?;
            return Ok(self.append(&piece));
        };
        let mut out = Vec::new();
        match own {
            #[cfg(feature = "zstd")]
            Own::Zstd(compressor) => compressor.write(bytes, &mut out)?,
            #[cfg(feature = "brotli")]
            Own::Brotli(compressor) => compressor.write(bytes, &mut out)?,
            #[cfg(feature = "gzip")]
            Own::Gzip(compressor) => {
                if !self.begun {
                    out.extend_from_slice(&gzip::HEADER);
                }
                self.checksum.add(bytes);
                compressor.write(bytes, &mut out)?;
            }
        }
        self.begun = true;
        Ok(out.into())
    }

    /// The next bytes of the stream, which were compressed for several.
    pub(crate) fn append(&mut self, piece: &Piece) -> Bytes {
        #[cfg(feature = "gzip")]
        self.checksum.append(&piece.checksum);
        match self.encoding.header() {
            header if !std::mem::replace(&mut self.begun, true) && !header.is_empty() => {
                [header, &piece.bytes].concat().into()
            }
            _ => piece.bytes.clone(),
        }
    }

    /// Returns the end of the stream.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        let mut out = Vec::new();
        if !self.begun && self.own.is_none() {
            out.extend_from_slice(self.encoding.header());
        }
        match (self.encoding, self.own) {
            #[cfg(feature = "zstd")]
            (_, Some(Own::Zstd(compressor))) => compressor.finish(&mut out)?,
            #[cfg(feature = "zstd")]
            (Encoding::Zstd, _) => {}
            #[cfg(feature = "brotli")]
            (_, Some(Own::Brotli(compressor))) => compressor.finish(&mut out),
            #[cfg(feature = "brotli")]
            (Encoding::Brotli, _) => out.extend_from_slice(&brotli::LAST),
            #[cfg(feature = "gzip")]
            (Encoding::Gzip, own) => {
                if own.is_some() && !self.begun {
                    out.extend_from_slice(&gzip::HEADER);
                }
                self.checksum.finish(&mut out);
            }
        }
        Ok(out.into())
    }
}

impl Piece {
    pub(crate) fn new(encoding: Encoding, bytes: &[u8]) -> io::Result<Self> {
        let mut out = Vec::new();
        match encoding {
            #[cfg(feature = "zstd")]
            Encoding::Zstd => zstd::compress(bytes, &mut out)?,
            #[cfg(feature = "brotli")]
            Encoding::Brotli => brotli::compress(bytes, &mut out)?,
            #[cfg(feature = "gzip")]
            Encoding::Gzip => gzip::compress(bytes, &mut out)?,
        }
        Ok(Self {
            bytes: out.into(),
            #[cfg(feature = "gzip")]
            checksum: gzip::Checksum::of(bytes),
        })
    }
}
