use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use http::request::Parts;
use http::{Method, header};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::door::{first_request, is_half_a_head, last, write};
use super::places::Place;
use super::routes::{ids_or_problem, records};
use super::{Protocol, Server};
use crate::mercure::{Problem, ProblemKind};

/// Serves a connection that publishes: all requests that are here are read at once, appended at once and answered at once, so that
/// a publisher who does not wait for each answer waits for the disk once for all of them.
///
/// What is not a plain publication (another method or path, a body in chunks, a head or body that is too large) is hyper's, with all that
/// follows on the connection.
pub(super) async fn serve(server: &Server, mut socket: TcpStream, place: Place) {
    let mut input = BytesMut::with_capacity(ROOM);
    // Since when the request has been coming whose end is awaited.
    let mut since = Instant::now();
    loop {
        let (round, next) = take(&mut input, server);
        if !round.is_empty() {
            since = Instant::now();
            let answers = answer(server, round).await;
            // Who is gone, or does not read its answers, is left.
            if !matches!(timeout(server.body_time, socket.write_all(&answers)).await, Ok(Ok(()))) {
                return;
            }
        }
        match next {
            Next::More => {}
            Next::Other => {
                let socket = After { first: input.freeze(), socket };
                return server.serve(socket, Protocol::Http1, place).await;
            }
            Next::Partial => {
                let (start, time) = match input.is_empty() {
                    true => (Instant::now(), server.head_time),
                    false => (since, server.body_time),
                };
                since = start;
                let read = tokio::select! {
                    read = timeout_at(start + time, socket.read_buf(&mut input)) => read,
                    () = server.until_end() => return,
                };
                match read {
                    Ok(Ok(read)) if read > 0 => {}
                    Err(_) if !input.is_empty() => {
                        let what = format!("the request was not there within {time:?}");
                        let late = Problem::new(ProblemKind::Timeout, what);
                        server.refusals.request(&late);
                        let _ = socket.write_all(&last(late.response())).await;
                        return;
                    }
                    _ => return,
                }
            }
        }
    }
}

/// What follows the publications that are here.
enum Next {
    /// Perhaps more of them.
    More,
    /// Half a request, or nothing yet.
    Partial,
    /// Something for hyper.
    Other,
}

/// Takes publications off what was read, as many as are whole.
fn take(input: &mut BytesMut, server: &Server) -> (Vec<(Parts, Bytes)>, Next) {
    let mut round = Vec::new();
    while round.len() < ROUND {
        let Some((length, request)) = first_request(input) else {
            let half = input.is_empty() || is_half_a_head(input) && input.len() < server.head_size;
            return (round, if half { Next::Partial } else { Next::Other });
        };
        let body = body_length(&request, server).filter(|_| length <= server.head_size);
        let Some(body) = body else { return (round, Next::Other) };
        if input.len() < length + body {
            input.reserve(length + body - input.len());
            return (round, Next::Partial);
        }
        input.advance(length);
        round.push((request, input.split_to(body).freeze()));
    }
    (round, Next::More)
}

/// How long its body is, if it is a publication that can be served here.
fn body_length(request: &Parts, server: &Server) -> Option<usize> {
    let headers = &request.headers;
    let is_kept = headers
        .get_all(header::CONNECTION)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"));
    let is_plain = ["transfer-encoding", "expect", "upgrade"].iter().all(|name| !headers.contains_key(*name));
    if request.method != Method::POST || request.uri.path() != server.hub.path || !is_kept || !is_plain {
        return None;
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (Some(length), None) = (lengths.next(), lengths.next()) else { return None };
    let text = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|length| *length <= server.hub.limits.body)
}

/// The answers to requests, in their order.
async fn answer(server: &Server, round: Vec<(Parts, Bytes)>) -> Vec<u8> {
    let hub = &server.hub;
    let (mut requests, mut read) = (Vec::with_capacity(round.len()), Vec::with_capacity(round.len()));
    for (request, body) in round {
        let publisher = hub.publisher(&request).await;
        read.push(publisher.and_then(|publisher| records(hub, &publisher, &request, &body)));
        requests.push(request);
    }
    let mut out = Vec::with_capacity(requests.len() * ANSWER);
    for (request, ids) in requests.iter().zip(hub.publish_each(read).await) {
        if let Err(problem) = &ids {
            server.refusals.request(problem);
        }
        write(&ids_or_problem(hub, request, ids), &mut out);
    }
    out
}

/// A socket of which something has been read already.
#[derive(Debug)]
struct After {
    first: Bytes,
    socket: TcpStream,
}

impl AsyncRead for After {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for After {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// What is made room for at first, in bytes.
const ROOM: usize = 16 << 10;
/// Requests that are answered at once.
const ROUND: usize = 256;
/// About what an answer takes, in bytes.
const ANSWER: usize = 192;
