//! HTTP/1.1 answers, as far as a load generator reads them, without I/O.

use ssekit_wire::media_type;
use thiserror::Error;

/// Head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Media type without parameters, in lower case.
    pub(super) media_type: String,
    pub(super) body: Body,
    /// Number of bytes of the head.
    pub(super) size: usize,
}

/// Reason why bytes are no valid answer.
#[derive(Debug, Error)]
pub(super) enum Malformed {
    #[error("the head of the response is not HTTP/1.1: {0}")]
    Head(#[from] httparse::Error),
    #[error("the head of the response is larger than {MAX_HEAD} bytes")]
    TooLarge,
    #[error("the content-length of the response is not a number")]
    Length,
    #[error("a chunk of the response body has an invalid size")]
    Chunk,
}

impl Head {
    /// Reads a head when it is complete. Interim answers (1xx) are heads like any other, without a body.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(size) = answer.parse(&bytes[..bytes.len().min(MAX_HEAD)])? else {
            return if bytes.len() < MAX_HEAD { Ok(None) } else { Err(Malformed::TooLarge) };
        };
        let status = answer.code.unwrap_or_default();
        let (mut body, mut media_type) = (Body::UntilClosed, String::new());
        for header in answer.headers.iter() {
            let value = String::from_utf8_lossy(header.value).trim().to_ascii_lowercase();
            if header.name.eq_ignore_ascii_case("content-type") {
                media_type::essence(&value).clone_into(&mut media_type);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") && value.ends_with("chunked") {
                body = Body::Chunked(Chunk::Size { value: 0, digits: 0 });
            } else if header.name.eq_ignore_ascii_case("content-length") && !matches!(body, Body::Chunked(_))
            {
                body = Body::Counted(value.parse().map_err(|_| Malformed::Length)?);
            }
        }
        if status < 200 || status == 204 || status == 304 {
            body = Body::Counted(0);
        }
        Ok(Some(Self { status, media_type, body, size }))
    }
}

/// Rest of an answer's body (RFC 9112, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    UntilClosed,
    /// This number of bytes.
    Counted(u64),
    Chunked(Chunk),
}

/// Position in a chunked body (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size {
        value: u64,
        digits: u8,
    },
    Extension {
        value: u64,
    },
    Data {
        left: u64,
    },
    /// Line end behind the data.
    DataEnd,
    /// In a line behind the last chunk; an empty line ends the body.
    Trailer {
        empty: bool,
    },
    End,
}

impl Body {
    /// Whether the body is complete.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Counted(0) | Self::Chunked(Chunk::End))
    }

    /// Takes the next piece of content from the front of `bytes`.
    ///
    /// `None` when they are used up or the body is complete.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        match self {
            Self::UntilClosed => Ok(Some(std::mem::take(bytes)).filter(|piece| !piece.is_empty())),
            Self::Counted(left) => Ok(take(bytes, left)),
            Self::Chunked(chunk) => chunk.next(bytes),
        }
    }
}

impl Chunk {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        loop {
            if let Self::Data { left } = self {
                let piece = take(bytes, left);
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                return Ok(piece);
            }
            if *self == Self::End {
                return Ok(None);
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(None) };
            *bytes = rest;
            *self = self.after(byte)?;
        }
    }

    /// Position behind a byte that is not data.
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        Ok(match (self, byte) {
            (Self::Size { value, digits: 1.. } | Self::Extension { value }, b'\n') => match value {
                0 => Self::Trailer { empty: true },
                left => Self::Data { left },
            },
            (Self::Size { value, digits: 1.. }, b'\r' | b';' | b' ' | b'\t') => Self::Extension { value },
            (Self::Extension { .. }, _) => self,
            (Self::Size { value, digits: 0..16 }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed::Chunk)?;
                let Self::Size { digits, .. } = self else { return Err(Malformed::Chunk) };
                Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::DataEnd, b'\r') => self,
            (Self::DataEnd, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::Trailer { empty: true }, b'\n') => Self::End,
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { .. }, b'\r') => self,
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            _ => return Err(Malformed::Chunk),
        })
    }
}

fn take<'a>(bytes: &mut &'a [u8], left: &mut u64) -> Option<&'a [u8]> {
    let size = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    let (piece, rest) = bytes.split_at(size);
    *bytes = rest;
    *left -= size as u64;
    Some(piece).filter(|piece| !piece.is_empty())
}

/// Answers to the requests of one connection, one after the other.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Head that is incomplete.
    head: Vec<u8>,
    /// Answer whose body is being read.
    current: Option<(Answer, Body)>,
}

/// Complete answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Beginning of the body.
    pub(super) text: String,
}

impl Answer {
    /// Whether the status is a success.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Answers {
    /// Takes bytes, and passes on each answer that they complete.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(Answer)) -> Result<(), Malformed> {
        loop {
            if let Some((answer, body)) = &mut self.current {
                while let Some(piece) = body.next(&mut bytes)? {
                    let room = piece.len().min(MAX_TEXT.saturating_sub(answer.text.len()));
                    answer.text.push_str(&String::from_utf8_lossy(&piece[..room]));
                }
                if !body.is_over() {
                    return Ok(());
                }
                self.current.take().into_iter().for_each(|(answer, _)| each(answer));
            }
            // Most heads arrive in one piece, and are read in place.
            let held = self.head.len();
            let head = if held == 0 {
                Head::read(bytes)?
            } else {
                self.head.extend_from_slice(&bytes[..bytes.len().min(MAX_HEAD)]);
                Head::read(&self.head)?
            };
            let Some(head) = head else {
                if held == 0 {
                    self.head.extend_from_slice(bytes);
                }
                return Ok(());
            };
            bytes = &bytes[head.size - held..];
            self.head.clear();
            if head.status >= 200 {
                self.current = Some((Answer { status: head.status, text: String::new() }, head.body));
            }
        }
    }
}

/// Maximum size of a head.
const MAX_HEAD: usize = 16 << 10;

const MAX_HEADERS: usize = 64;

/// Number of bytes of a body that messages show.
const MAX_TEXT: usize = 400;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Reads an answer's content, given in pieces that are cut at these offsets.
    fn content(stream: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, bool), Malformed> {
        let head = Head::read(stream)?.expect("a whole head");
        let mut body = head.body;
        let (mut content, mut from) = (Vec::new(), head.size);
        for &cut in cuts.iter().filter(|cut| **cut > head.size).chain([&stream.len()]) {
            let mut bytes = &stream[from..cut];
            while let Some(piece) = body.next(&mut bytes)? {
                content.extend_from_slice(piece);
            }
            from = cut;
        }
        Ok((content, body.is_over()))
    }

    #[test]
    fn the_head_determines_the_end_of_the_body() {
        let chunked = "transfer-encoding: chunked";
        let cases = [
            ("content-length: 5", "hello, and more", "hello", true),
            ("content-length: 5", "hel", "hel", false),
            ("x: y", "hello", "hello", false),
            (chunked, "5\r\nhello\r\n0\r\n\r\nmore", "hello", true),
            (chunked, "2;a=b\r\nhe\r\n3 \r\nllo\r\n0\r\nA: b\r\n\r\n", "hello", true),
            (chunked, "2\nhe\n03\r\nllo\r\n", "hello", false),
            ("content-length: 1\r\ntransfer-encoding: chunked", "5\r\nhello\r\n", "hello", false),
        ];
        for (headers, body, expected, over) in cases {
            let stream = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}");
            let (found, is_over) = content(stream.as_bytes(), &[]).expect("an answer");
            assert_eq!((String::from_utf8(found).as_deref(), is_over), (Ok(expected), over), "{body:?}");
        }
    }

    #[test]
    fn an_invalid_chunk_is_an_error() {
        for body in ["\r\n", "x\r\n", "-1\r\n", "11111111111111111\r\n", "2\r\nhello"] {
            let stream = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
            content(stream.as_bytes(), &[]).expect_err(body);
        }
    }

    #[test]
    fn a_head_that_never_ends_is_an_error() {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        assert!(matches!(Head::read(head.as_bytes()), Err(Malformed::TooLarge)));
        assert!(matches!(Head::read(&head.as_bytes()[..100]), Ok(None)));
    }

    proptest! {
        #[test]
        fn any_division_into_pieces_gives_the_same_content(
            pieces in vec(vec(any::<u8>(), 1..40), 0..8),
            mut cuts in vec(0_usize..400, 0..12),
        ) {
            let mut stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for piece in &pieces {
                stream.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                stream.extend_from_slice(piece);
                stream.extend_from_slice(b"\r\n");
            }
            stream.extend_from_slice(b"0\r\n\r\n");
            cuts.retain(|cut| *cut < stream.len());
            cuts.sort_unstable();
            prop_assert_eq!(content(&stream, &cuts).expect("an answer"), (pieces.concat(), true));
        }

        #[test]
        fn any_division_into_pieces_gives_the_same_answers(
            answers in vec((200_u16..600, "[a-z]{0,30}", any::<bool>()), 0..6),
            mut cuts in vec(0_usize..800, 0..12),
        ) {
            let mut stream = String::new();
            for (status, text, chunked) in &answers {
                let size = text.len();
                stream += &match (chunked, size) {
                    (true, 1..) => format!(
                        "HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n\
                         {size:x}\r\n{text}\r\n0\r\n\r\n"
                    ),
                    _ => format!("HTTP/1.1 {status} X\r\ncontent-length: {size}\r\n\r\n{text}"),
                };
            }
            // Answers with these statuses have no body, whatever their headers say.
            prop_assume!(answers.iter().all(|(status, ..)| ![204, 304].contains(status)));
            cuts.retain(|cut| *cut < stream.len());
            cuts.push(stream.len());
            cuts.sort_unstable();
            let (mut found, mut reader, mut from) = (Vec::new(), Answers::default(), 0);
            for cut in cuts {
                let bytes = &stream.as_bytes()[from..cut];
                reader.take(bytes, |answer| found.push((answer.status, answer.text))).expect("answers");
                from = cut;
            }
            let sent: Vec<_> = answers.into_iter().map(|(status, text, _)| (status, text)).collect();
            prop_assert_eq!(found, sent);
        }

        #[test]
        fn arbitrary_bytes_cause_no_panic(bytes in vec(any::<u8>(), 0..400)) {
            let _ = Answers::default().take(&bytes, |_| {});
            let mut body = Body::Chunked(Chunk::Size { value: 0, digits: 0 });
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = body.next(&mut rest) {}
        }
    }
}
