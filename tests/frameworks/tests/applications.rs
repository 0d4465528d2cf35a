//! The same small application in each framework, `examples/frameworks`, plays the same scene.

use std::process::Stdio;

use ssekit_frameworks::{Client, End, within};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// A test of each application.
macro_rules! applications {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            play(stringify!($name)).await;
        }
    )* };
}

applications! { actix_web_app axum_app hyper_app poem_app rocket_app salvo_app warp_app }

async fn play(name: &str) {
    // Where cargo puts examples, beside the tests that it builds them for.
    let test = std::env::current_exe().expect("a test has a path");
    let program =
        test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").join("examples").join(name);
    let mut process = Command::new(&program)
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
    let line = within(lines.next_line()).await.expect("readable output").expect("a line");
    let address = line.strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix('/'));
    let address = address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));

    let mut clock = Client::get(address, "/clock").await;
    clock.expect("event: time\ndata: SystemTime").await;

    let mut here = Client::get(address, "/events").await;
    assert_eq!(here.header("content-type"), ["text/event-stream"]);
    let place = String::from_utf8(here.some().await).expect("text");
    assert!(place.starts_with("id: ") && place.ends_with("-0\n\n"), "{place:?}");
    let mut ids = Vec::new();
    for text in ["hello", "are you there?"] {
        let mut said = Client::post(address, "/say", text).await;
        assert_eq!(said.status(), "200", "{}", said.head);
        let id = said.text().await;
        here.expect(&format!("id: {id}\nevent: said\ndata: {text}\n\n")).await;
        ids.push(id);
    }

    // Back after the first of them: by the header, as browsers do, and by the query, as pages do.
    let event = format!("id: {}\nevent: said\ndata: are you there?\n\n", ids[1]);
    let header = format!("last-event-id: {}\r\n", ids[0]);
    let mut back = Client::request(address, "/events", header).await;
    back.expect(&event).await;
    let mut page = Client::get(address, &format!("/events?lastEventId={}", ids[0])).await;
    page.expect(&event).await;
    assert_eq!(Client::get(address, "/events?lastEventId=%0A").await.status(), "400");

    let process_id = process.id().expect("it runs").to_string();
    let interrupted = Command::new("kill").args(["-INT", &process_id]).status().await;
    assert!(interrupted.expect("`kill` runs").success());
    for mut client in [clock, here, back, page] {
        let (rest, end) = client.rest().await;
        assert!(end == End::Complete && rest.contains("retry: "), "{end:?} after {rest:?}");
    }
    // Frameworks may say something, too.
    while within(lines.next_line()).await.expect("text").expect("a farewell") != "every stream has ended" {}
    assert!(within(process.wait()).await.expect("it ends").success());
}
