use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A server that answers what it is told to, request after request, and is silent after that.
pub(crate) struct Peer {
    address: SocketAddr,
    requests: watch::Receiver<Vec<Request>>,
    gone: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    head: String,
    pub(crate) pieces: Vec<Vec<u8>>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    End,
    Break,
    Stay,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n");
        Self { head, pieces: Vec::new(), ending: Ending::End }
    }

    pub(crate) fn events() -> Self {
        Self::status(200).header("content-type", "text/event-stream")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn body(mut self, piece: impl AsRef<[u8]>) -> Self {
        self.pieces.push(piece.as_ref().to_vec());
        self
    }

    pub(crate) fn then_stay(mut self) -> Self {
        self.ending = Ending::Stay;
        self
    }

    pub(crate) fn then_break(self) -> Self {
        Self { ending: Ending::Break, ..self }.header("content-length", "1000000")
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Peer {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<Vec<_>>().into_iter()));
        let (seen, requests) = watch::channel(Vec::new());
        let (leaving, gone) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen, leaving) = (answers.clone(), seen.clone(), leaving.clone());
                tokio::spawn(async move {
                    serve(stream, &answers, &seen).await;
                    leaving.send_modify(|gone| *gone += 1);
                });
            }
        });
        Self { address, requests, gone, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/stream", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// The request of this number, counted from 0, once it has come.
    pub(crate) async fn request(&self, number: usize) -> Request {
        let mut requests = self.requests.clone();
        let requests = requests.wait_for(|requests| requests.len() > number);
        timeout(Duration::from_secs(20), requests).await.expect("a request").unwrap()[number].clone()
    }

    /// Waits until the client has left this many connections.
    pub(crate) async fn left(&self, connections: usize) {
        let mut gone = self.gone.clone();
        let left = gone.wait_for(|gone| *gone >= connections);
        timeout(Duration::from_secs(20), left).await.expect("the client leaves").unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: &Mutex<std::vec::IntoIter<Answer>>,
    seen: &watch::Sender<Vec<Request>>,
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let answer = answers.lock().unwrap().next();
    seen.send_modify(|requests| requests.push(request));
    let ending = answer.as_ref().map_or(Ending::Stay, |answer| answer.ending);
    if let Some(answer) = answer {
        let _ = stream.set_nodelay(true);
        let mut ok = stream.write_all(format!("{}\r\n", answer.head).as_bytes()).await.is_ok();
        for piece in &answer.pieces {
            ok = ok && stream.write_all(piece).await.is_ok();
        }
    }
    if ending == Ending::Stay {
        while !matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head of UTF-8");
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).expect("a body of UTF-8") })
}
