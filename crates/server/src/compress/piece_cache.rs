use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Encoding, Piece};

/// The pieces of a channel that were compressed last, for other readers of the same events.
#[derive(Debug, Default)]
pub(crate) struct PieceCache {
    latest: Mutex<VecDeque<Compressed>>,
}

#[derive(Debug)]
struct Compressed {
    encoding: Encoding,
    /// The sequences of the first event and of the one after the last.
    events: (u64, u64),
    piece: Arc<Mutex<Option<Piece>>>,
}

/// Most readers are at the end or read the same history from its beginning.
const MAX_PIECES: usize = 16;

impl PieceCache {
    /// Returns these events, compressed by the first reader; other readers wait for it meanwhile.
    pub(crate) fn get(&self, encoding: Encoding, events: (u64, u64), bytes: &[u8]) -> io::Result<Piece> {
        let cell = self.cell(encoding, events);
        let mut piece = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = &*piece {
            return Ok(piece.clone());
        }
        Ok(piece.insert(Piece::new(encoding, bytes)?).clone())
    }

    fn cell(&self, encoding: Encoding, events: (u64, u64)) -> Arc<Mutex<Option<Piece>>> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.iter().rev().find(|known| known.encoding == encoding && known.events == events);
        if let Some(known) = known {
            return known.piece.clone();
        }
        let piece = Arc::<Mutex<Option<Piece>>>::default();
        let oldest = if latest.len() < MAX_PIECES { None } else { latest.pop_front() };
        latest.push_back(Compressed { encoding, events, piece: piece.clone() });
        drop(latest);
        drop(oldest);
        piece
    }
}
