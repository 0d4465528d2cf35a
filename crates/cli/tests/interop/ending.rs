//! A hub that is about to end, from the view of a client that keeps a connection, as proxies do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::hub::{Hub, NEWS, topic};
use crate::program::{PATIENCE, Program};

#[test]
fn a_browser_that_reconnects_during_the_shutdown_gets_a_reconnection_time() {
    let hub = Hub::start(&["--drain", "10s"]);
    let streams: Vec<Program> =
        std::iter::repeat_with(|| crate::program::curl(&topic(&hub.url(), NEWS))).take(8).collect();
    for stream in &streams {
        stream.stdout.find("retry: ");
    }
    let socket = TcpStream::connect(hub.addr).expect("the hub accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut kept = BufReader::new(socket);
    assert_eq!(get(&mut kept, "/readyz").0, 200);

    hub.program.signal("TERM");
    let end = Instant::now() + PATIENCE;
    while get(&mut kept, "/readyz").0 == 200 {
        assert!(Instant::now() < end, "it never begins to end");
    }
    let (status, head) = get(&mut kept, &topic("/.well-known/mercure", NEWS));
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    hub.program.signal("KILL");
}

/// Sends a request; returns the status and the head of the answer. A body with a length is read.
fn get(socket: &mut BufReader<TcpStream>, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.get_mut().write_all(request.as_bytes()).expect("the hub reads");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = socket.read_line(&mut head).expect("the hub answers");
        assert!(read > 0, "the answer ends within its head: {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    socket.read_exact(&mut vec![0; length.unwrap_or(0)]).expect("the body is whole");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, head)
}
