//! A server of pages, as the application beside the hub is one.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Answers everything with an empty page, and a cookie perhaps.
pub(crate) fn serve(cookie: Option<&str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let cookie = cookie.map_or_else(String::new, |cookie| format!("set-cookie: {cookie}\r\n"));
    let page = "<!doctype html><title>page</title>";
    let length = page.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n{cookie}content-length: {length}\r\nconnection: close\r\n\r\n{page}"
    );
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let answer = answer.clone();
            // A browser that connects ahead of time, and says nothing, holds nobody up.
            thread::spawn(move || reply(client, &answer));
        }
    });
    addr
}

fn reply(mut client: TcpStream, answer: &str) {
    let mut head = BufReader::new(client.try_clone().expect("another handle of the same socket")).lines();
    // A browser may go away at any time.
    if head.any(|line| line.is_ok_and(|line| line.is_empty())) {
        let _ = client.write_all(answer.as_bytes());
    }
}
