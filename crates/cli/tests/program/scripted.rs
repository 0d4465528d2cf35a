//! Server with scripted answers, byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::program::PATIENCE;

/// One answer for each connection; after the last one, the server is gone.
pub(crate) struct Scripted {
    pub(crate) addr: SocketAddr,
    requests: Receiver<String>,
}

/// Head of an event stream without a length: it ends with the connection.
pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let (sender, requests) = channel();
        let answers: Vec<String> = answers.into_iter().collect();
        thread::spawn(move || {
            for answer in answers {
                let (socket, _) = listener.accept().expect("a client comes");
                let request = read_request(&socket);
                (&socket).write_all(answer.as_bytes()).expect("the client reads");
                // An answer that stays open ends with this text.
                if answer.ends_with(OPEN) {
                    thread::spawn(move || BufReader::new(socket).read_line(&mut String::new()));
                }
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { addr, requests }
    }

    /// The next request, head and body.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("a request comes")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

/// End of an answer: a comment after which the connection stays open until the client leaves.
pub(crate) const OPEN: &str = ": open\n";

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn read_request(socket: &TcpStream) -> String {
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut reader = BufReader::new(socket);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut request).expect("the client writes"), 0, "cut off: {request:?}");
    }
    let length = request.to_lowercase().split("content-length: ").nth(1).and_then(|rest| {
        let digits = rest.split('\r').next()?;
        digits.parse().ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("the body is whole");
    request + &String::from_utf8_lossy(&body)
}
