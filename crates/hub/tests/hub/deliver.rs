//! Delivery: each subscriber gets exactly the updates that its selectors match, framed as an event stream.

use crate::client::{Connection, Framing, Request, text};
use crate::setup::{HUB, TestHub, encoded, publication};
use crate::stream::{Got, Stream, Way};

#[tokio::test(flavor = "multi_thread")]
async fn line_12_one_matching_selector_is_enough_and_line_14_an_update_is_sent_once() {
    // Topics of each update, whose data is its number.
    const UPDATES: [&[&str]; 7] = [
        &["a"],
        &["b"],
        &["https://example.com/books/1"],
        &["https://example.com/books/1/pages"],
        &["b", "a"],
        &["unasked", "https://example.com/books/2", "https://example.com/books/3"],
        &["https://example.com/books/{id}"],
    ];
    const CASES: [(&[&str], &[usize]); 10] = [
        (&["a"], &[0, 4]),
        (&["b"], &[1, 4]),
        (&["a", "b"], &[0, 1, 4]),
        (&["a", "a"], &[0, 4]),
        (&["*"], &[0, 1, 2, 3, 4, 5, 6]),
        (&["*", "a", "https://example.com/books/{id}"], &[0, 1, 2, 3, 4, 5, 6]),
        (&["https://example.com/books/{id}"], &[2, 5, 6]),
        (&["https://example.com/books/{id}", "https://example.com/books/2"], &[2, 5, 6]),
        (&["https://example.com/books/1"], &[2]),
        (&["A", "a/", "books"], &[]),
    ];
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut streams = Vec::new();
        for (selectors, wanted) in CASES {
            let query: String = selectors.iter().map(|one| format!("topic={}&", encoded(one))).collect();
            streams.push((way.subscribe(&hub, &format!("{query}topic=end")).await, selectors, wanted));
        }
        for (number, topics) in UPDATES.iter().enumerate() {
            let form: String = topics.iter().map(|topic| format!("topic={}&", encoded(topic))).collect();
            hub.publish(&format!("{form}data={number}")).await;
        }
        hub.publish("topic=end&data=end").await;
        for (mut stream, selectors, wanted) in streams {
            let got: Vec<_> = stream.until("end").await.into_iter().map(|got| got.data).collect();
            assert_eq!(got, wanted.iter().map(usize::to_string).collect::<Vec<_>>(), "{selectors:?}");
        }
    })
    .await;
}

/// Clients that read a fixed number of bytes at a time, as Python's do, get each event at once if it is a
/// chunk.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_a_chunk_of_its_own_whether_it_is_live_missed_or_one_of_many() {
    const COUNT: usize = 50;
    let hub = TestHub::usual().await;
    let publish = async || {
        for number in 0..COUNT {
            hub.publish(&format!("topic=a&data={}", "x".repeat(number * number))).await;
        }
    };
    publish().await;
    let mut socket = Connection::open(hub.addr).await;
    socket.send(&Request::get(format!("{HUB}?topic=a&lastEventID=earliest")).encode()).await;
    let head = socket.head().await.unwrap();
    assert_eq!(text(&head.headers, "transfer-encoding"), Some("chunked"));
    publish().await;
    let mut chunks = Vec::new();
    let (mut framing, mut chunk) = (head.framing(), Vec::new());
    while chunks.len() < 1 + 2 * COUNT {
        chunk.extend_from_slice(&socket.piece(&mut framing).await.unwrap());
        if matches!(framing, Framing::Chunk(0)) {
            chunks.push(String::from_utf8(std::mem::take(&mut chunk)).unwrap());
        }
    }
    assert!(chunks[0].starts_with("retry: "), "{}", chunks[0]);
    for (number, chunk) in chunks[1..].iter().enumerate() {
        let data = "x".repeat((number % COUNT) * (number % COUNT));
        assert!(chunk.starts_with("id: ") && chunk.ends_with(&format!("\ndata: {data}\n\n")), "{chunk}");
        assert_eq!(chunk.lines().count(), 3, "{chunk}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_19_the_answer_is_an_event_stream_and_its_lines_are_of_the_standard() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut stream = way.subscribe(&hub, "topic=a").await;
        stream.bytes = Some(Vec::new());
        assert_eq!(stream.header("content-type"), Some("text/event-stream"));
        assert!(stream.header("cache-control").is_some_and(|value| value.contains("no-store")));
        assert_eq!(stream.header("link"), Some("</.well-known/mercure>; rel=\"mercure\""));
        assert_eq!(stream.header("x-accel-buffering"), Some("no"));
        let forms = [
            "data=x",
            "data=a%0Ab&type=t&id=i&retry=1",
            "data=",
            "data=%0D%0A%F0%9F%A6%80",
            "private=on&data=p",
        ];
        for form in forms {
            hub.publish(&format!("topic=a&{form}")).await;
        }
        hub.publish("topic=a&data=end").await;
        stream.until("end").await;
        let text = String::from_utf8(stream.bytes.take().unwrap()).expect("UTF-8");
        for line in text.split('\n') {
            let known =
                ["data: ", "event: ", "id: ", "retry: ", ":"].iter().any(|start| line.starts_with(start));
            assert!(known || line.is_empty() || line == "data" || line == "data:", "{line:?} in {text:?}");
        }
        assert!(text.ends_with("\n\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_23_every_field_arrives_as_it_was_published() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut stream = way.subscribe(&hub, "topic=a").await;
        stream.bytes = Some(Vec::new());
        hub.publish("topic=a&data=%20two%0Alines%20&type=price&id=urn:x:1&retry=4321").await;
        let wanted =
            Got { name: "price".to_owned(), data: " two\nlines ".to_owned(), id: "urn:x:1".to_owned() };
        assert_eq!(stream.event().await, wanted);
        assert_eq!(stream.retry().await.as_millis(), 4321);
        let text = String::from_utf8(stream.bytes.take().unwrap()).unwrap();
        assert_eq!(text.matches("retry: 4321\n").count(), 1, "{text:?}");
        hub.publish("topic=a").await;
        let bare = stream.event().await;
        assert_eq!((&*bare.name, &*bare.data), ("message", ""));
        // As long as a line in a browser's console, and longer than any buffer.
        for size in [0, 1, 4095, 65_536, 600_000] {
            let data = "x".repeat(size);
            hub.publish(&format!("topic=a&data={data}")).await;
            assert!(stream.data().await == data, "{size} bytes");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_120_nothing_published_ends_an_event_or_adds_a_field() {
    const ATTEMPTS: [&str; 6] = [
        "a\n\ndata: forged",
        "a\rid: forged",
        "a\r\n\r\nevent: forged\ndata: forged\r\n\r\n",
        "\u{feff}data: forged",
        ": forged",
        "a\0\u{2028}\u{85}id: forged",
    ];
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut stream = way.subscribe(&hub, "topic=a").await;
        for data in ATTEMPTS {
            let id = hub.publish(&format!("topic=a&data={}", encoded(data))).await;
            let wanted = data.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(stream.event().await, Got { name: "message".to_owned(), data: wanted, id });
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_86_every_event_has_the_id_that_its_publisher_got() {
    Way::each(async |way| {
        let hub = TestHub::usual().await;
        let mut stream = way.subscribe(&hub, "topic=a").await;
        let mut ids = Vec::new();
        for own in ["", "&id=urn:uuid:5e94c686-2c0b-4f9b-958c-92ccc3bbb4eb", "", "&id=%22+%C3%BC"] {
            let id = hub.publish(&format!("topic=a&data=x{own}")).await;
            assert_eq!(stream.event().await.id, id);
            assert!(!own.is_empty() || id.starts_with("urn:ssekit:"), "{id} is an IRI");
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
        }
        assert_eq!(ids[3], "\" ü");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_subscribers_receive_the_updates_of_several_publishers_in_one_order() {
    let hub = TestHub::usual().await;
    let mut streams = Vec::new();
    for way in Way::ALL {
        for _ in 0..4 {
            streams.push(way.subscribe(&hub, "topic=a&topic=%2A").await);
        }
    }
    let publish = async |name: &str| {
        let mut connection = Connection::open(hub.addr).await;
        for number in 0..100 {
            assert_eq!(
                connection.ask(&publication(&format!("topic=a&data={name}{number}"))).await.status,
                200
            );
        }
    };
    tokio::join!(publish("x"), publish("y"), publish("z"));
    let first = streams[0].datas(300).await;
    for name in ["x", "y", "z"] {
        let own: Vec<_> = first.iter().filter(|data| data.starts_with(name)).cloned().collect();
        assert_eq!(own, (0..100).map(|number| format!("{name}{number}")).collect::<Vec<_>>());
    }
    for stream in &mut streams[1..] {
        assert_eq!(stream.datas(300).await, first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_3_subscriptions_are_get_and_head_is_answered_without_a_stream() {
    let hub = TestHub::start(|setup| setup.subscriptions = true).await;
    Way::each(async |way| {
        let head = Request::new("HEAD", format!("{HUB}?topic=a&lastEventID=earliest"));
        let answer = way.ask(&hub, &head).await;
        assert_eq!((answer.status, &*answer.body), (200, ""));
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("mercure-last-event-id"), Some("earliest"));
        for method in ["PUT", "DELETE", "PATCH"] {
            let answer = way.ask(&hub, &Request::new(method, format!("{HUB}?topic=a"))).await;
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
        }
    })
    .await;
    hub.until_figure("ssekit_subscribers", 0).await;
    assert_eq!(hub.history().await, [], "who only asks for the head is not told as a subscriber");
}

#[tokio::test(flavor = "multi_thread")]
async fn line_6_one_connection_of_http2_carries_many_streams_and_publications() {
    let hub = TestHub::usual().await;
    let client = crate::stream::Http2::connect(&hub).await;
    let mut streams: Vec<Stream> = Vec::new();
    for number in 0..40 {
        streams.push(client.send(&Request::get(format!("{HUB}?topic=t{number}&topic=all"))).await);
    }
    for number in 0..40 {
        let answer = client.send(&publication(&format!("topic=t{number}&data={number}"))).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(client.send(&publication("topic=all&data=all")).await.status, 200);
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_eq!(stream.datas(2).await, [number.to_string(), "all".to_owned()]);
    }
    drop(streams.split_off(10));
    hub.until_figure("ssekit_subscribers", 10).await;
    drop((streams, client));
    hub.until_figure("ssekit_subscribers", 0).await;
}
