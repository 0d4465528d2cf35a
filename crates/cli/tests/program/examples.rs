//! The programs that the demo's page shows.

use std::process::Command;

use crate::program::{Program, curl, run, serve, ssekit};

#[test]
fn the_client_on_the_page_follows_the_machine() {
    let server = serve();
    let client = Program::start(example("page_source").arg(server.url("/stats")));
    for _ in 0..2 {
        let line = client.stdout.find(" streams open");
        let cpu = line.strip_suffix(" % in use, 1 streams open").map(str::parse::<f64>);
        assert!(matches!(cpu, Some(Ok(0.0..=100.0))), "{line:?}");
    }
}

#[test]
fn the_server_of_the_page_sends_the_time_to_curl_and_to_listen() {
    let server = Program::start(example("page_produce").arg("127.0.0.1:0"));
    let line = server.stdout.find("curl -N ");
    let url = line.strip_prefix("curl -N ").expect("only that");
    let heard = run(ssekit().args(["listen", url, "-q", "-n", "1"]));
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "event: tick\ndata: 0 s\n\n");
    let curl = curl(url);
    assert_eq!([curl.stdout.find(""), curl.stdout.find("")], ["event: tick", "data: 0 s"]);
}

/// A program of the folder `examples`, which cargo builds for the tests of the whole package.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples");
    Command::new(folder.join(name))
}
