//! The bytes of events.

use std::time::Duration;

use ssekit_server::{EmitError, Emitter, Event, Field, Produce, produce};

use crate::support::{Client, Server, Stream};

/// The bytes that a client receives of a stream that ends after these events.
async fn sent(
    options: impl Fn(Produce) -> Produce + Clone + Send + Sync + 'static,
    emit: impl Fn(&Emitter) -> Result<(), EmitError> + Clone + Send + Sync + 'static,
) -> String {
    let addr = Server::Hyper.run(move || {
        let emit = emit.clone();
        options(produce(move |stream| emit(&stream).expect("the events are taken")))
    });
    Client::get(addr).await.rest().await
}

#[tokio::test]
async fn case_102_each_event_is_one_frame() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce).await;
    for data in ["one", "two\nlines"] {
        stream.emitter.emit("note", data).unwrap();
        let expected = format!("event: note\ndata: {}\n\n", data.replace('\n', "\ndata: "));
        assert_eq!(stream.client.chunk().await, expected);
    }
}

#[tokio::test]
async fn several_waiting_events_go_out_as_one_chunk() {
    let addr = Server::Hyper.run(|| {
        produce(|stream| {
            for data in ["1", "2", "3"] {
                stream.emit("n", data).unwrap();
            }
        })
    });
    let chunk = Client::get(addr).await.chunk().await;
    assert_eq!(chunk, "event: n\ndata: 1\n\nevent: n\ndata: 2\n\nevent: n\ndata: 3\n\n");
}

#[tokio::test]
async fn every_event_has_a_name_and_every_field_a_colon_and_a_space() {
    let text = sent(
        |produce| produce,
        |stream| {
            stream.emit("", "")?;
            stream.try_send(Event::new("x"))?;
            stream.try_send(Event::new("y").with_event("z")?.with_id("")?.with_retry(Duration::from_secs(2)))
        },
    );
    let expected = "event: \ndata: \n\nevent: message\ndata: x\n\nretry: 2000\nid: \nevent: z\ndata: y\n\n";
    assert_eq!(text.await, expected);
}

#[tokio::test]
async fn ids_from_numbers_the_events_that_have_none() {
    let text = sent(
        |produce| produce.ids_from(41),
        |stream| {
            stream.emit("a", "1")?;
            stream.try_send(Event::new("2").with_id("own")?)?;
            stream.try_send(Event::empty().with_id("bare")?)?;
            stream.comment("c")?;
            assert!(stream.emit("bad\nname", "").is_err());
            stream.try_send(Event::new("3"))
        },
    );
    let expected = "id: 41\nevent: a\ndata: 1\n\n\
                    id: own\nevent: message\ndata: 2\n\n\
                    id: bare\n\n\
                    : c\n\
                    id: 42\nevent: message\ndata: 3\n\n";
    assert_eq!(text.await, expected);
}

/// A page of the npm package dispatches every blank line, so neither may be followed by one.
#[tokio::test]
async fn retry_and_comments_are_glued_in_front_of_the_next_event() {
    let text = sent(
        |produce| produce.retry(Duration::from_millis(1500)),
        |stream| {
            stream.comment("")?;
            stream.emit("a", "1")?;
            stream.retry(Duration::from_secs(9))?;
            stream.comment("two\nlines")?;
            stream.emit("b", "2")
        },
    );
    let expected = "retry: 1500\n:\nevent: a\ndata: 1\n\nretry: 9000\n: two\n: lines\nevent: b\ndata: 2\n\n";
    assert_eq!(text.await, expected);
}

#[tokio::test]
async fn no_text_adds_a_field_or_an_event() {
    let text = sent(
        |produce| produce,
        |stream| {
            for name in ["a\rb", "a\nb", "a\r\nid: 1"] {
                match stream.emit(name, "x") {
                    Err(EmitError::Field(error)) => assert_eq!(error.field(), Field::Event),
                    answer => panic!("{answer:?}"),
                }
            }
            stream.emit("a", "1\rid: 7\r\n\r\nevent: b\n")?;
            stream.comment("x\r\rdata: y")
        },
    );
    let expected = "event: a\ndata: 1\ndata: id: 7\ndata: \ndata: event: b\ndata: \n\n: x\n: \n: data: y\n";
    assert_eq!(text.await, expected);
}

#[tokio::test]
async fn a_value_is_sent_as_json() {
    let text = sent(|produce| produce, |stream| stream.emit_json("q", &("a\nb", 1.5, [(); 0])));
    assert_eq!(text.await, "event: q\ndata: [\"a\\nb\",1.5,[]]\n\n");
}

#[derive(serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Import {
    Progress { percent: u8 },
    Done,
}

#[tokio::test]
async fn a_variant_is_sent_under_its_name() {
    let text = sent(
        |produce| produce,
        |stream| {
            stream.emit_event(&Import::Progress { percent: 50 })?;
            assert!(matches!(stream.emit_event(&[1]), Err(EmitError::Json(_))));
            stream.try_send(Event::typed(&Import::Done)?.with_numeric_id(7))
        },
    );
    let expected = "event: progress\ndata: {\"percent\":50}\n\nid: 7\nevent: done\ndata: \n\n";
    assert_eq!(text.await, expected);
}

#[tokio::test]
async fn a_value_without_a_json_form_is_refused() {
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let stream = Stream::open(Server::Hyper, |produce| produce).await;
    assert!(matches!(stream.emitter.emit_json("q", &map), Err(EmitError::Json(_))));
}

#[tokio::test]
async fn an_event_larger_than_the_buffer_is_taken_when_no_other_waits() {
    let data = "0123456789abcdef".repeat(10 << 16);
    let addr = Server::Hyper.run({
        let data = data.clone();
        move || {
            let data = data.clone();
            let produce = produce(move |stream| {
                stream.comment("does not count").unwrap();
                stream.emit("large", &data).unwrap();
                assert!(matches!(stream.emit("n", "1"), Err(EmitError::Full { limit: 1024, .. })));
            });
            produce.buffer(1024)
        }
    });
    assert!(
        Client::get(addr).await.rest().await == format!(": does not count\nevent: large\ndata: {data}\n\n")
    );
}

#[tokio::test]
async fn an_event_above_16_mib_is_refused_and_the_stream_goes_on() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce).await;
    let huge = "x".repeat(100 << 20);
    match stream.emitter.emit("huge", &huge) {
        Err(EmitError::TooLarge { size, limit }) => assert!(size >= huge.len() && limit == 16 << 20),
        answer => panic!("{answer:?}"),
    }
    // Every line feed costs seven bytes on the wire.
    assert!(matches!(stream.emitter.emit("lines", "\n".repeat(3 << 20)), Err(EmitError::TooLarge { .. })));
    stream.emitter.emit("n", "1").unwrap();
    assert_eq!(stream.client.chunk().await, "event: n\ndata: 1\n\n");
}

#[tokio::test]
async fn an_event_that_does_not_fit_is_refused_whole_and_takes_no_id() {
    let text = sent(
        |produce| produce.buffer(110).ids_from(1),
        |stream| {
            stream.emit("a", "x".repeat(60))?;
            assert!(matches!(stream.emit("b", "y".repeat(60)), Err(EmitError::Full { .. })));
            assert!(matches!(stream.comment(&"c".repeat(60)), Err(EmitError::Full { .. })));
            assert!(matches!(stream.try_send(Event::new("\n".repeat(9))), Err(EmitError::Full { .. })));
            stream.emit("d", "")
        },
    );
    let expected = format!("id: 1\nevent: a\ndata: {}\n\nid: 2\nevent: d\ndata: \n\n", "x".repeat(60));
    assert_eq!(text.await, expected);
}

#[tokio::test]
async fn an_event_without_a_field_is_nothing_and_keeps_nothing_out() {
    let mut stream = Stream::open(Server::Hyper, |produce| produce.buffer(100)).await;
    stream.emitter.try_send(Event::empty()).unwrap();
    let large = "x".repeat(1000);
    stream.emitter.emit("large", &large).unwrap();
    assert_eq!(stream.client.chunk().await, format!("event: large\ndata: {large}\n\n"));
}
