//! No file descriptors left.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::hub::{Hub, OPEN, PROGRAM, post, subscribe, until};
use crate::stream::Stream;

#[test]
fn without_descriptors_it_logs_once_a_second_responds_and_recovers() {
    let limited = format!(
        "ulimit -n 32; exec {PROGRAM} {} --addr 127.0.0.1:0 --threads 1 --limits-head-time 2s",
        OPEN.join(" ")
    );
    let hub = Hub::of(std::process::Command::new("sh").args(["-c", &limited]));
    let mut before = Stream::open(&hub, "topic=a");
    let begun = Instant::now();
    // More than the limit; they stay, and half of them are silent for a long time first.
    let mut sockets = Vec::new();
    for number in 0..200 {
        let mut socket = hub.connect();
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("it can be set");
        if number % 2 == 0 {
            let request = if number % 4 == 0 { subscribe("topic=a") } else { post("topic=a&data=lost", "") };
            let _ = socket.write_all(request.as_bytes());
        }
        sockets.push((number, socket));
    }
    let (mut served, mut told, mut stored) = (0, 0, 0);
    let mut heard = vec![String::new(); sockets.len()];
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        for (number, socket) in &mut sockets {
            let mut bytes = [0; 4096];
            if let Ok(read) = socket.read(&mut bytes) {
                heard[*number].push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        }
    }
    for (number, heard) in heard.iter().enumerate() {
        let ok = heard.starts_with("HTTP/1.1 200 ");
        if number % 4 == 0 {
            served += usize::from(ok && heard.to_lowercase().contains("link:"));
            told += usize::from(ok && !heard.to_lowercase().contains("link:") && heard.contains("retry: "));
        } else if number % 4 == 2 {
            assert!(
                heard.is_empty() || ok && heard.contains("urn:ssekit:") || heard.starts_with("HTTP/1.1 503 "),
                "{heard:?}"
            );
            stored += usize::from(ok);
        } else {
            assert!(!heard.starts_with("HTTP/1.1 200 "), "it has asked for nothing: {heard:?}");
        }
    }
    let passed = begun.elapsed().as_secs() as usize;
    println!("{served} served, {told} told to return, {stored} published, within {passed} s");
    assert!(served > 0 && told > 0, "{served} served, {told} told to return");
    until("it says so", || !hub.log_lines("descriptor").is_empty());
    let said = hub.log_lines("descriptor");
    assert!(
        !said.is_empty() && said.len() <= passed + 3,
        "{} lines in {passed} s:\n{}",
        said.len(),
        hub.log()
    );
    assert!(said.iter().any(|line| line.contains("LimitNOFILE")), "{said:?}");
    // Earlier subscribers stay: they get every accepted update, and nothing else.
    let mut lost = 0;
    while let crate::stream::Next::Event(event) = before.wait(Duration::from_millis(200)) {
        assert_eq!(event.data, "lost");
        lost += 1;
    }
    assert_eq!(lost, stored, "updates that were answered for");

    drop(sockets);
    until("it serves again", || hub.try_again().is_some_and(|answer| answer.status == 200));
    assert_eq!(before.next().data, "again");
    let refused =
        hub.figure("ssekit_connections_exhausted_total") + hub.figure("ssekit_connections_turned_away_total");
    assert!(refused > 0);
    let mut after = Stream::open(&hub, "topic=b");
    hub.publish("b", "well");
    assert_eq!(after.next().data, "well");
}
