//! Messages and `Debug` contain no part of a URL or a header that may be a secret.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssekit_client::{Reconnect, SelectError, Source, source};

use crate::answer::Answer;
use crate::peer::{Peer, soon};

/// All texts that a source gives until it is closed.
async fn texts(connection: Source) -> Vec<String> {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let [opened, failed, closed] = [(); 3].map(|()| Arc::clone(&texts));
    let connection = connection
        .header("x-api-key", "SECRET")
        .header("authorization", "Bearer SECRET")
        .reconnect(Reconnect::never())
        .on_open(move |response| opened.lock().unwrap().push(format!("{response:?}")))
        .on_error(move |error| failed.lock().unwrap().push(format!("{error} {error:?}")))
        .on_close(move |reason| closed.lock().unwrap().push(format!("{reason} {reason:?}")));
    texts.lock().unwrap().push(format!("{connection:?} {:?}", connection.check()));
    let mut messages = connection.select_all();
    texts.lock().unwrap().push(format!("{messages:?}"));
    if let Some(Err(error)) = soon("an item or the end", messages.next()).await {
        texts.lock().unwrap().push(format!("{error} {error:?}"));
        if let SelectError::Closed(error) = &error {
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
            while let Some(error) = cause {
                texts.lock().unwrap().push(format!("{error} {error:?}"));
                cause = error.source();
            }
        }
    }
    let status = format!("{:?} {:?}", connection.status(), connection.statuses());
    drop(messages);
    let mut texts = texts.lock().unwrap().clone();
    texts.push(status);
    texts
}

#[tokio::test]
async fn no_text_holds_a_secret() {
    let gone = Peer::start([]).await.kill().await;
    let with_secrets = |peer: &Peer| {
        format!("http://SECRET:SECRET@{}/path?topic=a&authorization=SECRET#SECRET", peer.address())
    };
    let peers = [
        Peer::start([Answer::events("data: 1\n\n").header("set-cookie", "id=SECRET")]).await,
        Peer::start([Answer::refuse()]).await,
        Peer::start([Answer::silence()]).await,
        Peer::start([Answer::status(401)]).await,
        Peer::start([Answer::redirect(302, "http://SECRET:SECRET@[/?SECRET")]).await,
        Peer::start([Answer::redirect(302, "ftp://SECRET:SECRET@host/?SECRET")]).await,
        Peer::start([Answer::redirect(307, "http://SECRET:SECRET@elsewhere.invalid/?SECRET")]).await,
        Peer::start([Answer::events("").then_break()]).await,
    ];
    let mut sources: Vec<_> = peers.iter().map(|peer| source(with_secrets(peer))).collect();
    sources[2] = sources[2].clone().connect_timeout(Duration::from_millis(50));
    sources[6] = sources[6].clone().body("SECRET");
    sources.extend(
        [
            format!("http://SECRET@{gone}/?SECRET"),
            "ftp://SECRET:SECRET@host/?SECRET".to_owned(),
            "http://SECRET:SECRET@/?SECRET".to_owned(),
            "http://SECRET:SECRET@host:99999/?SECRET".to_owned(),
            "SECRET:SECRET@host?SECRET".to_owned(),
        ]
        .into_iter()
        .map(source),
    );
    for (number, connection) in sources.into_iter().enumerate() {
        for text in texts(connection).await {
            assert!(!text.contains("SECRET"), "source {number}: {text}");
        }
    }
}

#[tokio::test]
async fn an_error_of_a_stream_says_its_cause_once() {
    let gone = Peer::start([]).await.kill().await;
    let mut messages = source(format!("http://{gone}/")).reconnect(Reconnect::never()).select("message");
    let error = soon("the error", messages.next()).await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("the connection is closed: cannot reach http://{gone}/: "))
            && text.contains("refused"),
        "{text}"
    );
    assert!(std::error::Error::source(&error).is_none(), "it is in the text");
}
