//! The cost of large and hostile streams.

use std::hint::black_box;
use std::iter;
use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use ssekit_wire::{DecodeError, Decoder, Event, Item};

/// Feeds a stream and counts its items.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    messages: usize,
    data_bytes: usize,
    comments: usize,
    errors: usize,
}

impl Tally {
    fn of<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tally = Self::default();
        for piece in pieces {
            let mut items = decoder.feed(piece);
            while let Some(item) = items.next() {
                match item {
                    Ok(Item::Message(message)) => {
                        tally.messages += 1;
                        tally.data_bytes += message.data.len();
                    }
                    Ok(Item::Comment(_)) => tally.comments += 1,
                    Err(_) => tally.errors += 1,
                }
            }
        }
        tally
    }

    fn message(data_bytes: usize) -> Self {
        Self { messages: 1, data_bytes, ..Self::default() }
    }
}

#[test]
fn case_060_an_event_of_one_line_of_seven_megabytes_arrives() {
    let stream = line_of(7_000_000);
    assert_eq!(Tally::of(&mut Decoder::new(), [stream.as_slice()]), Tally::message(7_000_000));
}

#[test]
fn case_060_an_event_of_fourteen_megabytes_in_two_pieces_arrives() {
    let stream = line_of(14_000_000);
    let (first, second) = stream.split_at(stream.len() / 2);
    assert_eq!(Tally::of(&mut Decoder::new(), [first, second]), Tally::message(14_000_000));
}

#[test]
fn case_060_an_event_of_ten_mebibytes_in_many_lines_arrives() {
    let mut stream = Vec::new();
    // 1023 bytes and the LF that joins them to the next line.
    Event::new(vec!["x".repeat(1023); 10 << 10].join("\n")).encode(&mut stream);
    for size in [stream.len(), 1460] {
        let tally = Tally::of(&mut Decoder::new(), stream.chunks(size));
        assert_eq!(tally, Tally::message((10 << 20) - 1), "in pieces of {size} bytes");
    }
}

/// A decoder that reads its buffer again with each piece takes 4096 times as long for 64 times as much, and a
/// busy machine takes a few times as long for anything: a limit between the two distinguishes them.
const TIMES: usize = 64;
const TOO_LONG: f64 = 512.0;

#[test]
fn case_060_time_is_linear_in_the_size_of_a_line() {
    for (piece, size) in [(1460, 128 << 10), (4, 4 << 10)] {
        let large = line_of(TIMES * size);
        let small = line_of(size);
        let growth = growth(|| drain(&small, piece), || drain(&large, piece));
        assert!(
            growth < TOO_LONG,
            "{TIMES} times {size} bytes in pieces of {piece} took {growth:.1} times as long"
        );
    }
}

/// The same for blocks that are read a second time: cut, special or not UTF-8.
#[test]
fn case_060_time_is_linear_in_the_number_of_lines() {
    let patterns: [(&str, &[u8]); 7] = [
        ("data lines", b"data: x\n"),
        ("empty data lines", b"data\n"),
        ("comments", b":x\n"),
        ("blocks without data", b"event: x\n\n"),
        ("events that are not UTF-8", b"data: \xFF\n\n"),
        ("events with a comment", b":x\ndata: x\n\n"),
        ("CR", b"data: x\r\r"),
    ];
    for (name, pattern) in patterns {
        let small = pattern.repeat(500);
        let large = small.repeat(TIMES);
        let growth = growth(|| drain(&small, small.len()), || drain(&large, large.len()));
        assert!(
            growth < TOO_LONG,
            "{TIMES} times as many {name} in one piece took {growth:.1} times as long"
        );
    }
}

/// Growing a buffer by doubling allocates a few times; growing it by each piece, thousands of times.
#[test]
fn case_060_a_cut_event_is_put_together_with_few_allocations() {
    let stream = line_of(8 << 20);
    let info = measure(|| {
        let tally = Tally::of(&mut Decoder::new(), stream.chunks(1460));
        assert_eq!(tally, Tally::message(8 << 20));
    });
    assert!(info.count_total < 64, "{info:?}");
    assert!(info.bytes_total < 64 << 20, "{info:?}");
}

#[test]
fn case_061_a_gigabyte_of_one_comment_holds_constant_memory() {
    constant_memory(Decoder::new(), b":x", 1 << 30);
}

#[test]
fn case_061_comments_hold_constant_memory() {
    constant_memory(Decoder::new(), b":x\n", MANY);
    constant_memory(limited().with_comments(), b":x\n", MANY);
    constant_memory(limited().with_comments(), b":x", MANY);
}

#[test]
fn case_061_unknown_fields_hold_constant_memory() {
    for pattern in ["x: y\n", "x:", "x", "data: x\n\nx: "] {
        constant_memory(Decoder::new(), pattern.as_bytes(), MANY);
    }
}

#[test]
fn case_061_an_event_of_many_lines_that_never_ends_holds_no_more_than_the_limit() {
    for line in ["data: x\n", "data\n", "data:\r", "event: x\n", "event\n", "id: x\n", "id\r\n", "retry: 1\n"]
    {
        constant_memory(limited(), line.as_bytes(), MANY);
    }
}

/// One piece that is larger than the limit is not copied to find that out.
#[test]
fn case_061_an_event_of_many_lines_in_one_piece_holds_no_more_than_the_limit() {
    for line in ["data: x\n", "data:x\n", "data: x\r", "data: xx\r\n"] {
        let piece = line.repeat(MANY / line.len());
        let mut decoder = limited();
        let info = measure(|| {
            let tally = Tally::of(&mut decoder, [piece.as_bytes()]);
            assert_eq!(tally, Tally { errors: 1, ..Tally::default() });
        });
        assert!(info.bytes_max < 256 << 10, "{line:?}: {info:?}");
    }
}

#[test]
fn case_061_a_line_that_never_ends_holds_no_more_than_the_limit() {
    for field in ["data: ", "event: ", "id: ", "retry: "] {
        let mut decoder = limited();
        Tally::of(&mut decoder, [field.as_bytes()]);
        constant_memory(decoder, b"1", MANY);
    }
}

#[test]
fn case_061_bytes_that_are_not_utf8_hold_constant_memory() {
    for pattern in
        [b"data: \xFF\n\n".as_slice(), b"\xEF\xBB\xBF", b"data: \xE2\x82", b"id: \xFF\ndata: \xFF\xFF\n\n"]
    {
        constant_memory(limited(), pattern, 512 << 10);
    }
}

#[test]
fn case_061_an_id_that_never_ends_is_an_error_and_leaves_the_last_one() {
    let mut decoder = limited().with_last_event_id("41").unwrap();
    let stream = [b"id: ".to_vec(), vec![b'7'; 1 << 20], b"\ndata: x\n\ndata: y\n\n".to_vec()].concat();
    let tally = Tally::of(&mut decoder, stream.chunks(1000));
    assert_eq!(tally, Tally { messages: 1, data_bytes: 1, errors: 1, ..Tally::default() });
    assert_eq!(decoder.last_event_id(), "41");
}

#[test]
fn case_061_the_error_names_the_limit_and_the_remedy() {
    let mut decoder = Decoder::new().with_max_event_bytes(4);
    let mut items = decoder.feed(b"data: 12345\n\n");
    let error = items.next().unwrap().unwrap_err();
    assert_eq!(error, DecodeError::EventTooLarge { limit: 4 });
    let message = error.to_string();
    assert!(message.contains('4') && message.contains("max_event_bytes"), "{message}");
    assert_eq!(items.next(), None);
}

/// After one large event, a decoder that lives for days does not hold its size for ever.
#[test]
fn the_memory_of_a_large_event_is_freed() {
    let large = line_of(15 << 20);
    let mut decoder = Decoder::new();
    let info = measure(|| {
        Tally::of(&mut decoder, large.chunks(64 << 10));
        // Cut, so that the buffers are used.
        Tally::of(&mut decoder, [b"data: x".as_slice(), b"\n\n", b"data: y", b"\n\n"]);
    });
    assert!(info.bytes_current < 4 << 20, "{info:?}");
}

#[test]
fn an_event_in_one_piece_is_borrowed_without_an_allocation() {
    let streams: [&[u8]; 6] = [
        b"data: x\n\n",
        b"id: 7\nevent: e\ndata: {\"a\": [1, 2, 3]}\n\n",
        b":\n\n",
        b"data: caf\xC3\xA9\r\n\r\n",
        b"retry: 5\n\ndata: x\r\r",
        b"event\nfoo: bar\ndata: a\nid: 8\n\n",
    ];
    for stream in streams {
        let whole = stream.repeat(100);
        let mut decoder = Decoder::new();
        // The first one may make room for the last event ID.
        Tally::of(&mut decoder, [whole.as_slice()]);
        let info = measure(|| {
            black_box(Tally::of(&mut decoder, [whole.as_slice()]));
        });
        assert_eq!(info.count_total, 0, "{:?}", String::from_utf8_lossy(stream));
    }
}

#[test]
fn a_decoder_at_work_allocates_nothing_wherever_events_are_cut() {
    let mut stream = Vec::new();
    for number in 0..100 {
        let id = number.to_string();
        Event::new("first\nsecond").with_id(id).unwrap().with_event("e").unwrap().encode(&mut stream);
    }
    for size in [1, 7, 16, 1460, stream.len()] {
        let mut decoder = Decoder::new();
        Tally::of(&mut decoder, stream.chunks(size));
        let info = measure(|| {
            black_box(Tally::of(&mut decoder, stream.chunks(size)));
        });
        assert_eq!(info.count_total, 0, "in pieces of {size} bytes");
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    let mut out = Vec::with_capacity(1 << 10);
    let info = measure(|| {
        let event = Event::new("one\ntwo\r\nthree").with_event("e").unwrap().with_id("7").unwrap();
        event.with_retry(Duration::MAX).encode(&mut out);
        ssekit_wire::encode_comment("four\nfive", &mut out);
    });
    assert_eq!(info, AllocationInfo::default());
}

#[test]
fn case_037_reconnection_times_of_any_length_do_no_harm() {
    for digits in [19, 20, 21, 40, 1000, 100_000] {
        let stream = format!("retry: {}\ndata: x\n\n", "9".repeat(digits));
        for size in [1, 3, stream.len()] {
            let mut decoder = Decoder::new();
            let tally = Tally::of(&mut decoder, stream.as_bytes().chunks(size));
            assert_eq!(tally, Tally::message(1), "{digits} digits");
            let wanted = if digits < 20 { 10_u64.pow(19) - 1 } else { u64::MAX };
            assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(wanted)), "{digits} digits");
        }
    }
}

#[test]
fn case_100_the_longest_reconnection_time_that_can_be_sent_is_read_back() {
    let mut out = Vec::new();
    Event::empty().with_retry(Duration::MAX).encode(&mut out);
    let mut decoder = Decoder::new();
    assert_eq!(Tally::of(&mut decoder, [out.as_slice()]), Tally::default());
    assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(u64::MAX)));
}

/// Items that a caller does not take are read all the same: their ids count, and the next item is right.
#[test]
fn items_that_are_not_asked_for_are_skipped() {
    let mut decoder = Decoder::new();
    let stream = b"id: 1\ndata: a\n\nid: 2\nretry: 5\ndata: b\n\nid: 3\ndata: c";
    let mut items = decoder.feed(stream);
    assert!(matches!(items.next(), Some(Ok(Item::Message(message))) if message.data == "a"));
    drop(items);
    assert_eq!(decoder.last_event_id(), "2");
    assert_eq!(decoder.reconnection_time(), Some(Duration::from_millis(5)));
    let mut items = decoder.feed(b"d\n\n");
    assert!(matches!(items.next(), Some(Ok(Item::Message(message))) if message.data == "cd"));
}

/// After this many bytes of `pattern`, the decoder holds no more memory than its small limit allows.
fn constant_memory(mut decoder: Decoder, pattern: &[u8], bytes: usize) {
    let piece = pattern.repeat((16 << 10) / pattern.len());
    let pieces = bytes / piece.len();
    let info = measure(|| {
        black_box(Tally::of(&mut decoder, iter::repeat_n(piece.as_slice(), pieces)));
    });
    // A few buffers, each at most doubled.
    assert!(info.bytes_max < 256 << 10, "{:?}: {info:?}", String::from_utf8_lossy(pattern));
}

/// Enough to show in `constant_memory`.
const MANY: usize = 2 << 20;

fn limited() -> Decoder {
    Decoder::new().with_max_event_bytes(16 << 10)
}

fn line_of(data_bytes: usize) -> Vec<u8> {
    [b"data: ".to_vec(), vec![b'x'; data_bytes], b"\n\n".to_vec()].concat()
}

fn drain(stream: &[u8], piece: usize) {
    black_box(Tally::of(&mut Decoder::new(), stream.chunks(piece)));
}

/// How many times as long the large run takes. Of several times, the least is the one that others disturbed
/// least.
fn growth(mut small: impl FnMut(), mut large: impl FnMut()) -> f64 {
    let seconds = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    let (mut least_small, mut least_large) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..7 {
        least_small = least_small.min(seconds(&mut small));
        least_large = least_large.min(seconds(&mut large));
    }
    least_large / least_small
}
