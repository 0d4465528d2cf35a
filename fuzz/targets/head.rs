//! The first request of a connection: the fast path accepts only one complete request without a body.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use ssekit_hub::http::parse;
use ssekit_mercure::{Access, Limits, Subscribe};

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = parse(bytes) else { return };
    // The request ends where the bytes end: fewer bytes are no request, and later bytes would be another one.
    assert!(bytes.ends_with(b"\n"));
    for length in [bytes.len() - 1, bytes.len() / 2] {
        assert!(parse(&bytes[..length]).is_none());
    }
    for suffix in [&b"x"[..], b"\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        assert!(parse(&[bytes, suffix].concat()).is_none());
    }
    // No recipient can find a body in it, and it names one host.
    for name in ["content-length", "transfer-encoding", "upgrade", "expect"] {
        assert!(!request.headers.contains_key(name));
    }
    assert_eq!(request.headers.get_all("host").iter().count(), 1);
    // The parsed request, written again, is parsed to the same request.
    let mut written = format!("{} {} HTTP/1.1\r\n", request.method, request.uri).into_bytes();
    for (name, value) in &request.headers {
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(b": ");
        written.extend_from_slice(value.as_bytes());
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let same = parse(&written).expect("a valid request");
    assert_eq!((&same.method, &same.uri), (&request.method, &request.uri));
    assert_eq!(same.headers, request.headers);
    // The subscription is granted or refused.
    let (mut access, limits) = (Access::default(), Limits::default());
    access.anonymous = true;
    match Subscribe::read(&request, &access, &limits, UNIX_EPOCH + Duration::from_secs(1_800_000_000)) {
        Ok(subscribe) => {
            assert!((1..=limits.selectors).contains(&subscribe.selectors.len()));
            assert!(subscribe.token.is_none(), "no token in the input has a valid signature");
        }
        Err(problem) => {
            assert!(problem.status().is_client_error() && problem.response().status() == problem.status())
        }
    }
});
