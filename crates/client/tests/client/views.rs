//! Streams whose items are made of messages.

use ssekit_client::{SelectError, source};

use crate::answer::Answer;
use crate::peer::{Peer, soon};

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Import {
    Progress { percent: u8 },
    LineSkipped(String),
    Done,
}

#[tokio::test]
async fn events_of_several_names_are_one_enum() {
    let events = "event: progress\ndata: {\"percent\":50}\n\n\
                  event: ping\ndata:\n\n\
                  event: progress\ndata: half\n\n\
                  event: line_skipped\ndata: \"a;b\"\n\n\
                  event: done\ndata:\n\n";
    let peer = Peer::start([Answer::events(events).then_stay()]).await;
    let mut import = source(peer.url("/")).select_all().typed::<Import>();
    let first = soon("the first", import.next()).await;
    assert!(matches!(first, Some(Ok(Import::Progress { percent: 50 }))), "{first:?}");
    match soon("the error", import.next()).await {
        Some(Err(SelectError::Json { message, .. })) => assert_eq!(message.data(), "half"),
        other => panic!("a name that the enum does not have is left out, but {other:?} came"),
    }
    for wanted in [Import::LineSkipped("a;b".to_owned()), Import::Done] {
        assert_eq!(soon("the next", import.next()).await.unwrap().unwrap(), wanted);
    }
}
