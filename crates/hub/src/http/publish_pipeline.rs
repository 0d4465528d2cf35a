//! Connections of publishers on plain HTTP/1.1, without hyper.
//!
//! The requests that have arrived are answered together.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Buf as _, Bytes, BytesMut};
use http::request::Parts;
use http::{Method, header};
use ssekit_mercure::{Problem, ProblemKind, Publisher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::bodies::{OWN, Part};
use super::connection_limit::Lease;
use super::http1::{first_request, is_half_a_head, last, write};
use super::rejections::RejectReason;
use super::routes::{batch, ids_or_problem};
use super::{Protocol, Server, lingering_close};

/// Serves a connection that publishes.
///
/// All requests that have arrived are read, appended and answered together, so that a publisher that does not
/// wait for each answer waits for the disk once.
///
/// Anything but a plain publication (another method or path, a chunked body, a head or body that is too
/// large) goes to hyper, with the rest of the connection.
///
/// A body that has not come with the first bytes is read after its publisher is verified, and takes memory as
/// it arrives.
pub(super) async fn serve(server: &Server, mut socket: TcpStream, lease: Lease) {
    let mut input = BytesMut::with_capacity(ROOM);
    // Time since which the request at the start of the input is incomplete.
    let mut since = Instant::now();
    loop {
        let (round, next) = take(&mut input, server);
        if !round.is_empty() {
            since = Instant::now();
            if !write_answers(server, &mut socket, round).await {
                return;
            }
            continue;
        }
        match next {
            Next::Other => {
                let socket = After { first: input.freeze(), socket };
                return server.serve(socket, Protocol::Http1, lease).await;
            }
            Next::Body { head, request, length } => {
                drop(input.split_to(head));
                let time = server.body_time;
                let body = timeout_at(since + time, large(server, &mut socket, &mut input, &request, length));
                let (publisher, body, part) = match body.await {
                    Ok(Some(Ok(read))) => read,
                    Ok(Some(Err(problem))) => return refuse(server, socket, &request, problem).await,
                    Ok(None) => return,
                    Err(_) => return refuse(server, socket, &request, late(time)).await,
                };
                since = Instant::now();
                let round = vec![Publication { request: *request, body, publisher: Some(publisher) }];
                if !write_answers(server, &mut socket, round).await {
                    return;
                }
                drop(part);
            }
            Next::Partial => {
                let time = if input.is_empty() { server.head_time } else { server.body_time };
                if input.is_empty() {
                    since = Instant::now();
                }
                lease.set_idle();
                let read = tokio::select! {
                    read = timeout_at(since + time, socket.read_buf(&mut input)) => read,
                    () = lease.evicted() => return server.rejections.connection(RejectReason::Evicted),
                    () = server.until_end() => return,
                };
                lease.set_busy();
                match read {
                    Ok(Ok(1..)) => {}
                    Err(_) if !input.is_empty() => {
                        let problem = late(time);
                        server.rejections.request(&problem);
                        return lingering_close::close(socket, &last(problem.response())).await;
                    }
                    _ => return,
                }
            }
        }
    }
}

/// A complete publication request.
struct Publication {
    request: Parts,
    body: Bytes,
    /// Its publisher, if verified before the body had arrived.
    publisher: Option<Publisher>,
}

/// Input behind the complete publications.
enum Next {
    /// Half a head, or nothing.
    Partial,
    /// A publication with a head of this many bytes, whose body has not arrived completely.
    Body { head: usize, request: Box<Parts>, length: usize },
    /// A request for hyper.
    Other,
}

/// Takes the complete publications off the input.
fn take(input: &mut BytesMut, server: &Server) -> (Vec<Publication>, Next) {
    let mut round = Vec::new();
    while round.len() < ROUND {
        let Some((head, request)) = first_request(input) else {
            let half = input.is_empty() || is_half_a_head(input) && input.len() < server.head_size;
            return (round, if half { Next::Partial } else { Next::Other });
        };
        let length = body_length(&request, server).filter(|_| head <= server.head_size);
        let Some(length) = length else { return (round, Next::Other) };
        if input.len() < head + length {
            return (round, Next::Body { head, request: Box::new(request), length });
        }
        input.advance(head);
        let body = input.split_to(length).freeze();
        round.push(Publication { request, body, publisher: None });
    }
    (round, Next::Partial)
}

/// Verifies the publisher of a publication, and then reads its body.
///
/// `None` if the connection ends before. The input behind the body stays in the socket.
async fn large(
    server: &Server,
    socket: &mut TcpStream,
    input: &mut BytesMut,
    request: &Parts,
    length: usize,
) -> Option<Result<(Publisher, Bytes, Part), Problem>> {
    let publisher = match server.hub.publisher(request).await {
        Ok(publisher) => publisher,
        Err(problem) => return Some(Err(problem)),
    };
    let mut part = server.bodies.part();
    let mut body = BytesMut::new();
    while body.len() < length {
        if body.len() == body.capacity() {
            // The memory grows with the bytes that arrive, not with the announced length.
            let capacity = length.min((body.len() * 2).max(OWN));
            if let Err(none) = part.grow(capacity) {
                return Some(Err(none.problem()));
            }
            body.reserve(capacity - body.len());
        }
        if !input.is_empty() {
            body.extend_from_slice(&input.split());
            continue;
        }
        let room = length.min(body.capacity()) - body.len();
        let mut rest = socket.take(room as u64);
        tokio::select! {
            read = rest.read_buf(&mut body) => {
                read.ok().filter(|read| *read > 0)?;
            }
            () = server.until_end() => return None,
        }
    }
    Some(Ok((publisher, body.freeze(), part)))
}

/// Problem of a request that did not arrive in time.
fn late(time: Duration) -> Problem {
    Problem::new(ProblemKind::Timeout, format!("the request was not complete within {time:?}"))
}

/// Answers a request whose body is unread, after which the connection cannot continue.
async fn refuse(server: &Server, socket: TcpStream, request: &Parts, problem: Problem) {
    server.rejections.request(&problem);
    lingering_close::close(socket, &last(ids_or_problem(&server.hub, request, Err(problem)))).await;
}

/// Length of the body, if the request is a publication that can be served here.
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

/// Publishes a round and writes the answers in their order; false if the peer is gone, or does not read them.
async fn write_answers(server: &Server, socket: &mut TcpStream, round: Vec<Publication>) -> bool {
    let hub = &server.hub;
    let (mut requests, mut read) = (Vec::with_capacity(round.len()), Vec::with_capacity(round.len()));
    for Publication { request, body, publisher } in round {
        let publisher = match publisher {
            None => hub.publisher(&request).await,
            Some(publisher) => hub.access.still(&publisher, SystemTime::now()).map(|()| publisher),
        };
        read.push(publisher.and_then(|publisher| batch(hub, &publisher, &request, &body)));
        requests.push(request);
    }
    let mut out = Vec::with_capacity(requests.len() * ANSWER);
    for (request, ids) in requests.iter().zip(hub.publish_each(read).await) {
        if let Err(problem) = &ids {
            server.rejections.request(problem);
        }
        write(&ids_or_problem(hub, request, ids), &mut out);
    }
    matches!(timeout(server.body_time, socket.write_all(&out)).await, Ok(Ok(())))
}

/// Socket of which some bytes have been read already.
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

/// Bytes of a connection that are read before a publisher is verified.
const ROOM: usize = 16 << 10;
/// Maximum number of requests that are answered together.
const ROUND: usize = 256;
/// Estimated size of an answer in bytes.
const ANSWER: usize = 192;
