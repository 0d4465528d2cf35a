//! Lines of standard input, in batches.

use std::io::{BufRead as _, BufReader, Read, Take};
use std::thread;

use anyhow::{Context as _, Error, anyhow, bail};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Lines of an input, in batches: all lines that are available, but at least one.
///
/// So a slow input is published line by line at once, and a fast one in few requests. A thread of its own
/// reads, because standard input may block.
pub(super) struct Lines(Receiver<Result<Vec<String>, Error>>);

/// Maximum number of lines of a batch.
const MAX_LINES: usize = 1_000;
/// Bytes of a batch; one line may exceed it.
const MAX_BYTES: usize = 256 << 10;
/// Maximum number of bytes of a line; larger than a hub accepts.
const MAX_LINE: u64 = 4 << 20;

impl Lines {
    pub(super) fn read(input: impl Read + Send + 'static) -> Self {
        // One batch waits while the one before is sent.
        let (sender, receiver) = channel(1);
        thread::spawn(move || read(input, &sender));
        Self(receiver)
    }

    pub(super) async fn next(&mut self) -> Option<Result<Vec<String>, Error>> {
        self.0.recv().await
    }
}

fn read(input: impl Read, sender: &Sender<Result<Vec<String>, Error>>) {
    let mut input = BufReader::with_capacity(MAX_BYTES, input).take(MAX_LINE);
    let mut number = 0;
    loop {
        let mut lines = Vec::new();
        let end = fill(&mut input, &mut number, &mut lines);
        if !lines.is_empty() && sender.blocking_send(Ok(lines)).is_err() {
            return;
        }
        match end {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    }
}

/// Reads the next lines; returns whether the input has ended.
fn fill<R: Read>(
    input: &mut Take<BufReader<R>>,
    number: &mut usize,
    lines: &mut Vec<String>,
) -> Result<bool, Error> {
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        input.set_limit(MAX_LINE);
        let read = input.read_until(b'\n', &mut line).context("cannot read stdin")?;
        if read == 0 {
            return Ok(true);
        }
        *number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if read as u64 == MAX_LINE {
            bail!("line {number} of stdin is longer than {} MiB", MAX_LINE >> 20);
        }
        bytes += line.len();
        lines.push(String::from_utf8(line).map_err(|_| anyhow!("line {number} of stdin is not UTF-8"))?);
        let is_there = input.get_ref().buffer().contains(&b'\n');
        if !is_there || lines.len() == MAX_LINES || bytes >= MAX_BYTES {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    async fn all(input: impl Read + Send + 'static) -> (Vec<Vec<String>>, Option<String>) {
        let mut lines = Lines::read(input);
        let mut batches = Vec::new();
        while let Some(batch) = lines.next().await {
            match batch {
                Ok(batch) => batches.push(batch),
                Err(error) => return (batches, Some(error.to_string())),
            }
        }
        (batches, None)
    }

    /// Returns one piece for each read.
    struct Pieces(Vec<&'static str>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece.as_bytes());
            Ok(piece.len())
        }
    }

    #[tokio::test]
    async fn a_batch_has_all_available_lines() {
        let pieces = Pieces(vec!["a\nb\n", "c", "d\r\ne", "f"]);
        let expected = [vec!["a", "b"], vec!["cd"], vec!["ef"]]
            .map(|lines| lines.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(all(pieces).await, (expected.to_vec(), None));
        assert_eq!(all(Cursor::new("")).await, (vec![], None));
        assert_eq!(all(Cursor::new("\n")).await, (vec![vec![String::new()]], None));
    }

    #[tokio::test]
    async fn batches_are_bounded_and_lose_nothing() {
        let count = 3 * MAX_LINES + 7;
        let (batches, error) = all(Cursor::new("x\n".repeat(count))).await;
        assert_eq!((batches.iter().map(Vec::len).sum::<usize>(), error), (count, None));
        assert!(batches.iter().all(|batch| batch.len() <= MAX_LINES));

        let line = "y".repeat(MAX_BYTES / 4);
        let (batches, _) = all(Cursor::new(format!("{line}\n").repeat(20))).await;
        assert_eq!(batches.concat().len(), 20);
        assert!(batches.iter().all(|batch| batch.concat().len() <= MAX_BYTES + line.len()));
    }

    #[tokio::test]
    async fn an_invalid_line_is_an_error_with_its_number() {
        // The lines before it are published.
        let (batches, error) = all(Cursor::new([&b"a\n"[..], b"\xff\n"].concat())).await;
        assert_eq!(
            (batches, error),
            (vec![vec!["a".to_owned()]], Some("line 2 of stdin is not UTF-8".to_owned()))
        );
        let long = vec![b'z'; 5 << 20];
        let (_, error) = all(Cursor::new(long)).await;
        assert_eq!(error.as_deref(), Some("line 1 of stdin is longer than 4 MiB"));
    }
}
