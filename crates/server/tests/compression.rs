//! Compressed streams: nothing is held back, everything can be read, and shared events are compressed once.
#![cfg(all(feature = "brotli", feature = "gzip", feature = "zstd"))]

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flate2::write::GzDecoder;
use futures_core::Stream as _;
use proptest::prelude::*;
use ssekit_server::{BodyError, Channel, Error, First, LastEventId, Produce, SseBody, produce};

const ENCODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// The bytes that a client has received, and its decoder.
struct Client {
    body: SseBody,
    decoder: Decoder,
}

enum Decoder {
    Gzip(GzDecoder<Vec<u8>>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Client {
    fn new(encoding: &str, produce: Produce) -> Self {
        let response = produce.no_ping().no_stall_timeout().compress(encoding).response();
        assert_eq!(response.headers()["content-encoding"], encoding);
        assert_eq!(response.headers()["vary"], "accept-encoding");
        assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
        let decoder = match encoding {
            "gzip" => Decoder::Gzip(GzDecoder::new(Vec::new())),
            "br" => Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 4096))),
            _ => Decoder::Zstd(zstd::stream::write::Decoder::new(Vec::new()).unwrap()),
        };
        Self { body: response.into_body(), decoder }
    }

    /// The next piece as it is; `None` when nothing is there, `Some(None)` at the end.
    fn piece(&mut self) -> Option<Option<Bytes>> {
        match Pin::new(&mut self.body).poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(piece) => Some(piece.map(Result::unwrap)),
        }
    }

    /// The text that can be decoded so far, and whether it has come to its end.
    fn read(&mut self) -> (String, bool) {
        if !self.take() {
            return (self.decoded(), false);
        }
        match &mut self.decoder {
            // It checks the sum and the length.
            Decoder::Gzip(decoder) => decoder.try_finish().unwrap(),
            Decoder::Brotli(decoder) => decoder.close().unwrap(),
            Decoder::Zstd(decoder) => decoder.flush().unwrap(),
        }
        (self.decoded(), true)
    }

    /// Takes all that is there; whether that was the end.
    fn take(&mut self) -> bool {
        while let Some(piece) = self.piece() {
            match piece {
                Some(piece) => self.decode(&piece),
                None => return true,
            }
        }
        false
    }

    fn decode(&mut self, piece: &[u8]) {
        match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()).unwrap(),
            Decoder::Brotli(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()).unwrap(),
            Decoder::Zstd(decoder) => decoder.write_all(piece).and_then(|()| decoder.flush()).unwrap(),
        }
    }

    fn decoded(&self) -> String {
        let bytes = match &self.decoder {
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Brotli(decoder) => decoder.get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref(),
        };
        String::from_utf8(bytes.clone()).unwrap()
    }
}

fn none() -> LastEventId {
    LastEventId::default()
}

#[test]
fn every_event_can_be_read_at_once_and_the_stream_has_a_proper_end() {
    for encoding in ENCODINGS {
        let (sender, emitters) = std::sync::mpsc::channel();
        let mut client = Client::new(encoding, produce(move |stream| sender.send(stream).unwrap()));
        assert_eq!(client.read(), (String::new(), false));
        let stream = emitters.recv().unwrap();
        let mut expected = String::new();
        for n in 0..200 {
            let data = format!("{n} {}", "Once upon a time. ".repeat(n % 17));
            stream.emit("token", &data).unwrap();
            expected.push_str(&format!("event: token\ndata: {data}\n\n"));
            assert_eq!(client.read(), (expected.clone(), false), "{encoding}");
        }
        stream.lock().set(false);
        assert_eq!(client.read(), (expected, true), "{encoding}");
    }
}

#[test]
fn a_stream_without_an_event_has_a_proper_end_too() {
    for encoding in ENCODINGS {
        assert_eq!(Client::new(encoding, produce(drop)).read(), (String::new(), true), "{encoding}");
        let channel = Channel::new();
        let mut early = Client::new(encoding, channel.subscribe(none()));
        channel.close();
        // Its place, by which it is recognized when it comes back, and then there is nothing to compress.
        let (text, ended) = early.read();
        assert!(ended && text.starts_with("id: ") && text.ends_with("-0\n\n"), "{encoding} {text:?}");
        let over = channel.subscribe(none()).compress(encoding).response();
        assert_eq!((over.status().as_u16(), over.headers().get("content-encoding")), (204, None));
    }
}

/// A decoder finds no end either, so that no cache or client takes the stream for complete.
#[test]
fn a_stream_that_fails_does_not_end_its_encoding() {
    for encoding in ENCODINGS {
        let failing = produce(|stream| -> Result<(), Error> {
            stream.emit("n", "1")?;
            Err(Error::new("the rest is lost"))
        });
        let mut client = Client::new(encoding, failing);
        let first = client.piece().unwrap().unwrap();
        client.decode(&first);
        assert_eq!(client.decoded(), "event: n\ndata: 1\n\n", "{encoding}");
        assert!(client.piece().is_none(), "it is flushed");
        let next = Pin::new(&mut client.body).poll_next(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(next, Poll::Ready(Some(Err(BodyError::Incomplete { .. })))), "{encoding} {next:?}");
    }
}

#[test]
fn shared_events_of_a_channel_are_compressed_once() {
    for encoding in ENCODINGS {
        let news = Channel::new();
        let [mut one, mut two] = [(); 2].map(|()| Client::new(encoding, news.subscribe(none())));
        for n in 0..5 {
            news.emit("headline", format!("{n} {}", "peace ".repeat(50))).unwrap();
            let [a, b] = [&mut one, &mut two].map(|client| client.piece().unwrap().unwrap());
            // The first piece is each one's own: it begins with the header.
            assert_eq!(a.as_ptr() == b.as_ptr(), n > 0 || encoding == "zstd", "{encoding} {n}");
            assert!(a.len() < 150, "{encoding}: {} bytes", a.len());
            one.decode(&a);
            two.decode(&b);
        }
        // One that comes later, and reads the history in one piece, goes on with the same pieces.
        let mut late = Client::new(encoding, news.first(First::All).subscribe(none()));
        assert_eq!(late.read().0, one.read().0);
        news.emit("headline", "the same for all").unwrap();
        let [a, b] = [&mut one, &mut late].map(|client| client.piece().unwrap().unwrap());
        assert_eq!(a.as_ptr(), b.as_ptr(), "{encoding}");
        one.decode(&a);
        late.decode(&b);
        two.read();
        assert_eq!(late.decoded(), one.decoded());
        news.close();
        let read = one.read();
        assert!(read.1 && read.0.ends_with("data: the same for all\n\n"), "{encoding}");
        assert_eq!((late.read(), two.read()), (read.clone(), read), "{encoding}");
    }
}

#[test]
fn events_of_ones_own_and_resets_are_among_those_of_a_channel() {
    for encoding in ENCODINGS {
        let news = Channel::new();
        news.emit("n", "1").unwrap();
        let page = produce(|stream| stream.emit("welcome", "you").unwrap());
        let mut page = Client::new(encoding, page.follow(&news, LastEventId::new("unknown").unwrap()));
        let filtered = news.filter(|name| name != "n").subscribe(none());
        let mut filtered = Client::new(encoding, filtered);
        news.emit("n", "2").unwrap();
        news.emit("m", "3").unwrap();
        news.close();
        let (text, ended) = page.read();
        assert!(ended, "{encoding}");
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data, ["you", r#"{"reason":"unknown"}"#, "1", "2", "3"], "{encoding}");
        let (text, ended) = filtered.read();
        assert!(
            ended && text.ends_with("event: m\ndata: 3\n\n") && !text.contains("data: 2"),
            "{encoding}: {text}"
        );
    }
}

#[test]
fn the_client_has_the_choice() {
    for (accepted, encoding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("GZIP", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("gzip;q=1.0, br;q=0.5, zstd;q=0.001", Some("gzip")),
        ("gzip ; Q=0.5 , br; q=0.5", Some("br")),
        ("*", Some("zstd")),
        ("zstd;q=0, *;q=0.3", Some("br")),
        ("*;q=0, gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("gzip;q=nonsense", None),
        ("gzip;q=2", None),
        ("deflate, identity", None),
        ("identity;q=0", None),
        ("gzipped", None),
        ("", None),
        ("\u{fffd}", None),
    ] {
        let response = produce(drop).header("vary", "origin").compress(accepted).response();
        let headers = response.headers();
        let chosen = headers.get("content-encoding").map(|value| value.to_str().unwrap());
        assert_eq!(chosen, encoding, "{accepted}");
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"], "{accepted}");
    }
    assert!(produce(drop).response().headers().get("vary").is_none(), "it is off unless asked for");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is published, in whatever pieces it is read, by whoever: everybody reads the same text.
    #[test]
    fn every_published_event_is_read(
        encoding in prop::sample::select(&ENCODINGS[..]),
        events in prop::collection::vec((0..3_usize, prop::collection::vec(any::<u8>(), 0..400), 1..300_usize), 1..30),
    ) {
        let channel = Channel::builder().keep_bytes(usize::MAX).build();
        let mut clients = [(); 3].map(|()| Client::new(encoding, channel.subscribe(none())));
        let mut plain = channel.subscribe(none()).no_ping().no_stall_timeout().response().into_body();
        for (reader, data, times) in events {
            channel.emit("e", String::from_utf8_lossy(&data).repeat(times)).unwrap();
            clients[reader].take();
        }
        channel.close();
        let mut expected = Vec::new();
        while let Poll::Ready(Some(piece)) =
            Pin::new(&mut plain).poll_next(&mut Context::from_waker(Waker::noop()))
        {
            expected.extend_from_slice(&piece.unwrap());
        }
        for mut client in clients {
            prop_assert!(client.read() == (String::from_utf8(expected.clone()).unwrap(), true));
        }
    }
}
