//! The end of a connection after an answer.
//!
//! Unread input is discarded for a moment, so that the answer arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// Connection whose last answer arrives.
///
/// If a connection is closed with unread input, the system resets it, and the peer loses the answer, for
/// example that the head or the body is too large. So further input is read and discarded for a moment (RFC
/// 9112, section 9.6).
#[derive(Debug)]
pub(super) struct Lingering<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    socket: Option<S>,
    /// Whether the peer has ended, or cannot be reached: it reads no answer.
    over: bool,
    /// Whether the peer has been sent anything.
    answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Lingering<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket: Some(socket), over: false, answered: false }
    }

    fn socket(&mut self) -> io::Result<Pin<&mut S>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Lingering<S> {
    fn drop(&mut self) {
        let Some(socket) = self.socket.take().filter(|_| self.answered && !self.over) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(forget(socket));
    }
}

/// Sends a last answer and closes the connection, so that the answer arrives.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, answer: &[u8]) {
    if let Ok(Ok(())) = tokio::time::timeout(MOMENT, socket.write_all(answer)).await {
        forget(socket).await;
    }
}

/// Ends a connection, and reads and discards further input. The connection is closed after any error, too.
async fn forget<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S) {
    let forget = async {
        socket.shutdown().await?;
        let mut scratch = vec![0; SCRATCH];
        let mut left = MOST;
        while left > 0 {
            match socket.read(&mut scratch).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    drop(tokio::time::timeout(MOMENT, forget).await);
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(self.socket()?.poll_read(cx, buffer));
        self.over |= read.is_err() || buffer.filled().len() == before;
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.socket()?.poll_write(cx, bytes));
        self.over |= written.is_err();
        self.answered = true;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.socket()?.poll_write_vectored(cx, parts));
        self.over |= written.is_err();
        self.answered = true;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}

/// Time and bytes of the input that is discarded.
const MOMENT: Duration = Duration::from_secs(1);
const MOST: usize = 1 << 20;
const SCRATCH: usize = 4 << 10;
