use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};

/// The least that fan-out can cost by sockets: one thread encodes an event once, and sends it once to each
/// subscriber. Takes subscribers until the first publisher comes, and ends with that one.
pub fn serve(listener: &TcpListener) -> Result<()> {
    let mut subscribers = Vec::new();
    loop {
        let (mut socket, _) = listener.accept()?;
        let mut head = vec![0; 4096];
        let read = socket.read(&mut head)?;
        head.truncate(read);
        if head.starts_with(b"POST /publish ") {
            return publish(socket, head, &mut subscribers);
        }
        ensure!(head.starts_with(b"GET /events "), "a request for something else");
        socket.write_all(HEAD)?;
        socket.set_nonblocking(true)?;
        subscribers.push(socket);
    }
}

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn publish(mut publisher: TcpStream, mut received: Vec<u8>, subscribers: &mut Vec<TcpStream>) -> Result<()> {
    let mut piece = [0; 4096];
    let mut number = 0;
    loop {
        while let Some((head, length)) = request(&received)? {
            if received.len() < head + length {
                break;
            }
            number += 1;
            let data = str::from_utf8(&received[head..head + length])?;
            let event = format!("id: {number}\nevent: message\ndata: {data}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            subscribers.retain_mut(|subscriber| send(subscriber, chunk.as_bytes()));
            received.drain(..head + length);
            publisher.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
        match publisher.read(&mut piece)? {
            0 => return Ok(()),
            read => received.extend_from_slice(&piece[..read]),
        }
    }
}

/// Sends to a subscriber, and returns whether it stays: if its buffer is full, it loses the event; if it took
/// a part of the event, it is dropped.
fn send(subscriber: &mut TcpStream, chunk: &[u8]) -> bool {
    match subscriber.write(chunk) {
        Ok(sent) => sent == chunk.len(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// The length of a request's head and of its body, once the head is there.
fn request(received: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(received)? else { return Ok(None) };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("a request without content-length")?.value;
    Ok(Some((head, str::from_utf8(length)?.parse()?)))
}
