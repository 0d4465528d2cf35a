//! A framework's own compression neither holds events back nor breaks them.

use std::io::Write;

use ssekit_frameworks::{Client, Compression, End, Framework, Stream, on_each_framework};

on_each_framework! {
    compression_lets_every_event_through_at_once
}

async fn compression_lets_every_event_through_at_once<F: Framework>() {
    let path = match F::KNOWN.compression {
        Compression::None => "/stream",
        Compression::LeftAlone | Compression::Flushed => "/compressed/stream",
    };
    let accept = "accept-encoding: gzip, br, zstd\r\n";
    let mut stream = Stream::open_at::<F>(path, accept, |produce| produce.no_ping()).await;
    let encoding = stream.client.header("content-encoding").join(", ");
    let mut decoder = match encoding.as_str() {
        "" | "identity" => Decoder::Plain(Vec::new()),
        "gzip" => Decoder::Gzip(Box::new(flate2::write::GzDecoder::new(Vec::new()))),
        "br" => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 64 << 10))),
        encoding => panic!("nobody can read {encoding:?}"),
    };
    let is_compressed = !matches!(decoder, Decoder::Plain(_));
    assert_eq!(is_compressed, F::KNOWN.compression == Compression::Flushed, "{encoding}");
    let mut expected = String::new();
    for n in 0..20 {
        stream.emitter.emit("n", n.to_string()).unwrap();
        expected.push_str(&format!("event: n\ndata: {n}\n\n"));
        decoder.read_until(&mut stream.client, &expected).await;
    }
    // Larger than the pieces that compressors read at once.
    let data = "0123456789abcdef".repeat(2000);
    stream.emitter.emit("n", &data).unwrap();
    expected.push_str(&format!("event: n\ndata: {data}\n\n"));
    decoder.read_until(&mut stream.client, &expected).await;
    stream.emitter.lock().set(false);
    assert_eq!(stream.client.rest_of_bytes().await.1, End::Complete);
}

enum Decoder {
    Plain(Vec<u8>),
    Gzip(Box<flate2::write::GzDecoder<Vec<u8>>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
}

impl Decoder {
    async fn read_until(&mut self, client: &mut Client, expected: &str) {
        while self.decoded().len() < expected.len() {
            let bytes = client.some().await;
            match self {
                Self::Plain(text) => text.extend(bytes),
                Self::Gzip(decoder) => decoder.write_all(&bytes).and_then(|()| decoder.flush()).unwrap(),
                Self::Brotli(decoder) => decoder.write_all(&bytes).and_then(|()| decoder.flush()).unwrap(),
            }
        }
        assert_eq!(String::from_utf8_lossy(self.decoded()), expected);
    }

    fn decoded(&self) -> &[u8] {
        match self {
            Self::Plain(text) => text,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
        }
    }
}
