//! The client through its public API. Numbers in names are cases of the conformance list.

mod answer;
mod callbacks;
mod events;
mod latest;
mod open;
mod peer;
mod reconnect;
mod repeat;
mod request;
mod response;
mod robustness;
mod script;
mod secrets;
mod sharing;
mod slow;
mod threads;
mod timing;
mod tls;
mod views;

use std::time::Duration;

use ssekit_client::{Message, Reconnect, Select, SelectError};

use crate::peer::soon;

/// The next message, where nothing else may come.
async fn message(messages: &mut Select) -> Message {
    soon("a message", messages.next())
        .await
        .expect("the stream has not ended")
        .expect("a message, not an error")
}

/// The data of the next message.
async fn data(messages: &mut Select) -> String {
    message(messages).await.data().to_owned()
}

/// The error that the stream ends with.
async fn last_error(messages: &mut Select) -> ssekit_client::Error {
    let error = match soon("the last error", messages.next()).await {
        Some(Err(SelectError::Closed(error))) => error,
        other => panic!("not the end by an error: {other:?}"),
    };
    assert!(soon("the end", messages.next()).await.is_none(), "nothing follows the last error");
    error
}

/// Comes back at once, so that tests over sockets do not wait.
fn eager() -> Reconnect {
    Reconnect::resilient()
        .delay(Duration::from_millis(5))
        .min_delay(Duration::ZERO)
        .max_delay(Duration::from_millis(50))
}
