use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ssekit_client::{CloseReason, Error, Reconnect, SelectError, Source, Status, source};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::data;
use crate::script::Script;

const ONE: &str = "data: one\n\n";

fn scripted(script: &Script, reconnect: Reconnect) -> Source {
    source("http://script/").transport(script.clone()).reconnect(reconnect)
}

fn exact() -> Reconnect {
    Reconnect::resilient().without_jitter()
}

fn seconds(values: &[f64]) -> Vec<Duration> {
    values.iter().map(|&value| Duration::from_secs_f64(value)).collect()
}

/// Reads until the connection is closed; gives the delays between its requests.
async fn delays(script: &Script, reconnect: Reconnect) -> Vec<Duration> {
    let mut messages = scripted(script, reconnect).select("message");
    while messages.next().await.is_some() {}
    script.delays()
}

#[tokio::test(start_paused = true)]
async fn case_084_the_reconnection_time_is_kept_within_a_tenth() {
    for _ in 0..50 {
        let script = Script::new([
            Answer::events("retry: 4000\ndata: one\n\n"),
            Answer::events(ONE),
            Answer::events("retry: 200\ndata: one\n\n"),
            Answer::events(ONE),
            Answer::status(204),
        ]);
        let delays = delays(&script, Reconnect::resilient()).await;
        for (delay, asked) in delays.iter().zip([4000, 4000, 200, 200]) {
            let asked = Duration::from_millis(asked);
            assert!(
                *delay >= asked && *delay <= asked.mul_f64(1.1) + Duration::from_millis(2),
                "{delay:?} {asked:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn case_084_a_reconnection_time_of_zero_is_raised_and_a_huge_one_lowered() {
    let script = Script::new([
        Answer::events("retry: 0\ndata: one\n\n"),
        Answer::events("retry: 99999999999999999999\ndata: one\n\n"),
        Answer::events("retry: 9999999999999\ndata: one\n\n"),
        Answer::status(204),
    ]);
    let delays = delays(&script, exact()).await;
    assert_eq!(delays[0], Duration::from_millis(100));
    assert_eq!(delays[2], Duration::from_secs(60 * 60));
}

#[tokio::test(start_paused = true)]
async fn case_085_delays_double_up_to_a_cap_and_start_anew_after_a_good_connection() {
    let mut answers = vec![Answer::refuse(); 7];
    answers.extend([Answer::events(ONE), Answer::refuse(), Answer::events(""), Answer::status(204)]);
    let script = Script::new(answers);
    assert_eq!(
        delays(&script, exact()).await,
        seconds(&[1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 1.0, 2.0, 4.0]),
        "an event makes a good connection, an end without one does not"
    );
}

#[tokio::test(start_paused = true)]
async fn case_085_a_connection_that_stood_for_a_while_is_a_good_one() {
    let script =
        Script::new([Answer::refuse(), Answer::refuse(), Answer::events(":").body(":"), Answer::status(204)])
            .pace(Duration::from_secs(3));
    assert_eq!(delays(&script, exact()).await, seconds(&[1.0, 2.0, 6.0 + 1.0]));
}

#[tokio::test(start_paused = true)]
async fn case_085_jitter_is_full_and_stays_between_floor_and_growth() {
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut answers = vec![Answer::refuse(); 3];
        answers.push(Answer::status(204));
        let script = Script::new(answers);
        let delays = delays(&script, Reconnect::resilient()).await;
        for (number, delay) in delays.iter().enumerate() {
            let most = Duration::from_secs(1 << number) + Duration::from_millis(2);
            assert!(*delay >= Duration::from_millis(100) && *delay <= most, "{number}: {delay:?}");
        }
        all.push(delays[2]);
    }
    let spread = all.iter().max().unwrap().saturating_sub(*all.iter().min().unwrap());
    assert!(spread > Duration::from_secs(2), "a hundred delays of up to 4 s lie within {spread:?}");
}

#[tokio::test(start_paused = true)]
async fn case_085_retries_are_counted_and_it_gives_up() {
    let script = Script::new(vec![Answer::refuse(); 20]);
    let connection = scripted(&script, exact().max_retries(3));
    let mut messages = connection.select("message");
    assert!(matches!(messages.next().await, Some(Err(SelectError::Closed(Error::Connect { .. })))));
    assert!(messages.next().await.is_none());
    assert_eq!(script.requests().len(), 1 + 3);
    let status = connection.status();
    assert!(
        matches!(
            status,
            Status::Closed { reason: CloseReason::GaveUp { retries: 3, error: Error::Connect { .. } } }
        ),
        "{status:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn case_085_a_good_connection_gives_all_retries_back() {
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.extend([Answer::refuse(), Answer::refuse(), Answer::events(ONE)]);
    }
    let script = Script::new(answers.into_iter().chain(vec![Answer::refuse(); 9]));
    let mut messages = scripted(&script, exact().max_retries(3)).select("message");
    for _ in 0..5 {
        assert_eq!(data(&mut messages).await, "one");
    }
    assert!(matches!(messages.next().await, Some(Err(SelectError::Closed(_)))));
    assert_eq!(script.requests().len(), 15 + 3);
}

#[tokio::test(start_paused = true)]
async fn case_072_retry_after_is_waited_for_in_seconds_and_until_a_date() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(120));
    let script = Script::new([
        Answer::status(503).header("retry-after", "7"),
        Answer::status(429).header("retry-after", date),
        Answer::status(503).header("retry-after", "999999"),
        Answer::status(503).header("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),
        Answer::status(503).header("retry-after", "soon"),
        Answer::status(503).header("retry-after", "99999999999999999999999999"),
        Answer::status(204),
    ]);
    let delays = delays(&script, exact()).await;
    assert_eq!(delays[0], Duration::from_secs(7));
    assert!(delays[1] > Duration::from_secs(115) && delays[1] <= Duration::from_secs(120), "{:?}", delays[1]);
    assert_eq!(delays[2..], seconds(&[3600.0, 8.0, 16.0, 3600.0]));
}

#[tokio::test(start_paused = true)]
async fn the_standard_preset_waits_its_time_and_takes_any_refusal_as_final() {
    let script = Script::new([
        Answer::refuse(),
        Answer::events("retry: 500\ndata: one\n\n"),
        Answer::refuse(),
        Answer::refuse(),
        Answer::status(503).header("retry-after", "1"),
    ]);
    let connection = scripted(&script, Reconnect::standard());
    let mut messages = connection.select("message");
    while let Some(Ok(_)) = messages.next().await {}
    assert_eq!(script.delays(), seconds(&[3.0, 0.5, 0.5, 0.5]));
    let Status::Closed { reason: CloseReason::Failed(error) } = connection.status() else { panic!() };
    assert_eq!(error.status().unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn case_086_a_read_timeout_finds_a_dead_connection_and_any_byte_resets_it() {
    let script = Script::new([
        Answer::events("data: one\n\n").body(":").body("\n").body(":").then_stay(),
        Answer::events(ONE).then_stay(),
    ])
    .pace(Duration::from_millis(400));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&errors);
    let start = Instant::now();
    let connection = scripted(&script, exact())
        .read_timeout(Duration::from_millis(500))
        .on_error(move |error| seen.lock().unwrap().push(((**error).clone(), Instant::now() - start)));
    let mut messages = connection.select("message");
    assert_eq!(data(&mut messages).await, "one");
    assert_eq!(data(&mut messages).await, "one");
    let errors = errors.lock().unwrap();
    assert!(matches!(errors[..], [(Error::ReadTimeout { .. }, _)]), "{errors:?}");
    assert_eq!(errors[0].1.as_millis().div_euclid(10), 4 * 40 + 50, "500 ms after the last byte");
}

#[tokio::test(start_paused = true)]
async fn case_086_the_time_that_a_slow_reader_takes_is_no_silence() {
    let script = Script::new([Answer::events(ONE.repeat(3)).then_stay()]);
    let connection = scripted(&script, exact()).read_timeout(Duration::from_millis(500)).buffer(1, 1000);
    let mut messages = connection.select("message");
    data(&mut messages).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    data(&mut messages).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(connection.status().is_open(), "400 ms after reading went on: {:?}", connection.status());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!connection.status().is_open(), "600 ms after reading went on");
}

#[tokio::test(start_paused = true)]
async fn without_a_read_timeout_a_silent_stream_stays_open() {
    let script = Script::new([Answer::events(ONE).then_stay()]);
    let connection = scripted(&script, exact());
    let mut messages = connection.select("message");
    data(&mut messages).await;
    let silence = tokio::time::timeout(Duration::from_secs(24 * 60 * 60), messages.next()).await;
    assert!(silence.is_err() && connection.status().is_open());
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn case_071_a_closed_connection_makes_no_further_request() {
    let script = Script::new([Answer::status(204), Answer::events(ONE)]);
    let connection = scripted(&script, Reconnect::resilient());
    let mut messages = connection.select("message");
    assert!(messages.next().await.is_none());
    let silence = tokio::time::timeout(Duration::from_secs(24 * 60 * 60), std::future::pending::<()>()).await;
    assert!(silence.is_err() && messages.next().await.is_none());
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_answer_within_the_connect_timeout_is_an_error_and_is_retried() {
    let script = Script::new([Answer::silence(), Answer::events(ONE).then_stay()]);
    let connection = scripted(&script, exact()).connect_timeout(Duration::from_secs(10));
    assert_eq!(data(&mut connection.select("message")).await, "one");
    assert_eq!(script.delays(), seconds(&[11.0]));
}

#[tokio::test(start_paused = true)]
async fn case_088_a_close_while_it_waits_cancels_the_retry() {
    let script = Script::new([Answer::refuse(), Answer::events(ONE)]);
    let (sender, mut errors) = tokio::sync::mpsc::unbounded_channel();
    let connection =
        scripted(&script, exact()).on_error(move |error| sender.send((**error).clone()).unwrap());
    let mut messages = connection.select("message");
    let reading = tokio::spawn(async move { messages.next().await.is_none() });
    errors.recv().await.unwrap();
    assert!(matches!(connection.status(), Status::Waiting { .. }));
    connection.close();
    assert!(reading.await.unwrap());
    let later = tokio::time::timeout(Duration::from_secs(24 * 60 * 60), errors.recv()).await;
    assert!(later.is_err(), "no error follows a close: {later:?}");
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn connect_does_not_wait_for_the_delay() {
    let script = Script::new([Answer::refuse(), Answer::events(ONE).then_stay()]);
    let (sender, mut errors) = tokio::sync::mpsc::unbounded_channel();
    let connection = scripted(&script, exact().delay(Duration::from_secs(30)))
        .on_error(move |error| sender.send((**error).clone()).unwrap());
    let mut messages = connection.select("message");
    let reading = tokio::spawn(async move { data(&mut messages).await });
    errors.recv().await.unwrap();
    connection.connect();
    assert_eq!(reading.await.unwrap(), "one");
    assert_eq!(script.delays(), [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_does_not_end_is_reported_after_a_while() {
    let script = Script::new([Answer::status(404).body("gone").then_stay()]);
    let start = Instant::now();
    let mut messages = scripted(&script, exact()).select("message");
    let Some(Err(SelectError::Closed(Error::Status { body, .. }))) = messages.next().await else { panic!() };
    assert_eq!(body, "gone");
    assert_eq!(start.elapsed().as_secs(), 5);
}
