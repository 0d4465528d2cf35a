use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::answer::{Answer, Ending};

/// A server on a local socket that gives scripted answers, request after request, and is silent after the
/// last.
pub(crate) struct Peer {
    address: SocketAddr,
    requests: watch::Receiver<Vec<Request>>,
    /// How many of its connections the client has closed.
    gone: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Peer {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_on("127.0.0.1:0", answers).await
    }

    pub(crate) async fn start_on(address: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<Vec<_>>().into_iter()));
        let (seen, requests) = watch::channel(Vec::new());
        let (leaving, gone) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, seen, leaving) = (answers.clone(), seen.clone(), leaving.clone());
                connections.spawn(async move {
                    serve(stream, &answers, &seen).await;
                    leaving.send_modify(|gone| *gone += 1);
                });
            }
        });
        Self { address, requests, gone, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// The request of this number, counted from 0, once it has come.
    pub(crate) async fn request(&self, number: usize) -> Request {
        let mut requests = self.requests.clone();
        let requests =
            soon("a request", requests.wait_for(|requests| requests.len() > number)).await.unwrap();
        requests[number].clone()
    }

    /// Waits until the client has closed this many connections.
    pub(crate) async fn left(&self, connections: usize) {
        let mut gone = self.gone.clone();
        soon("the client's leaving", gone.wait_for(|gone| *gone >= connections)).await.unwrap();
    }

    /// Closes its socket and all its connections.
    pub(crate) async fn kill(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
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
    let answer = answer.unwrap_or_else(Answer::silence);
    if answer.ending == Ending::Refuse {
        return;
    }
    if answer.ending != Ending::Silence {
        if stream.write_all(answer.head().as_bytes()).await.is_err() {
            return;
        }
        for piece in &answer.pieces {
            if stream.write_all(piece).await.is_err() {
                return;
            }
            stream.flush().await.unwrap();
        }
    }
    if matches!(answer.ending, Ending::Stay | Ending::Silence) {
        // Until the client leaves.
        while !matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut text = Vec::new();
    let end = loop {
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8(text[..end].to_vec()).expect("a head of UTF-8");
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = text.split_off(end + 4);
    while body.len() < length {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok()?;
        body.extend_from_slice(&piece[..read]);
    }
    request.body = String::from_utf8(body).expect("a body of UTF-8");
    Some(request)
}

/// Waits for a future, and fails the test if it takes too long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} has not happened within 20 s"),
    }
}
