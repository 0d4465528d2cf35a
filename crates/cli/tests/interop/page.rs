//! Servers of pages, like an application beside the hub.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Answers every request with an empty page, and perhaps a cookie.
pub(crate) fn serve(cookie: Option<&str>) -> SocketAddr {
    let cookie = cookie.map_or_else(String::new, |cookie| format!("set-cookie: {cookie}\r\n"));
    let page = answer("text/html", &cookie, "<!doctype html><title>page</title>");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    listen(listener, move |_| Some(page.clone()));
    addr
}

/// Serves files: each with a path, a content type and a text.
pub(crate) fn files(listener: TcpListener, files: Vec<(&'static str, &'static str, String)>) {
    listen(listener, move |asked| {
        let found = files.iter().find(|(path, ..)| *path == asked);
        found.map(|(_, content_type, text)| answer(content_type, "", text))
    });
}

fn answer(content_type: &str, cookie: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{cookie}content-length: {length}\r\nconnection: \
         close\r\n\r\n{text}"
    )
}

fn listen(listener: TcpListener, answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A browser that connects ahead of time without a request must not block others.
            thread::spawn(move || reply(client, &*answer));
        }
    });
}

fn reply(mut client: TcpStream, answer: &dyn Fn(&str) -> Option<String>) {
    let mut head = BufReader::new(client.try_clone().expect("another handle of the same socket")).lines();
    let first = head.next().and_then(Result::ok).unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let none = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // A browser may disconnect at any time.
    if head.any(|line| line.is_ok_and(|line| line.is_empty())) {
        let _ = client.write_all(answer(path).as_deref().unwrap_or(none).as_bytes());
    }
}
