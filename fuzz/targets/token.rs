//! Any text as keys and as a token: nothing panics, and a text without a valid signature is no token.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use ssekit_mercure::{Access, Action, Keys, explain};

/// A key that has signed nothing.
static KEYS: LazyLock<Access> = LazyLock::new(|| {
    let mut access = Access::default();
    access.publishers = Keys::read("a secret that signed none of the seeds").expect("it is long enough");
    access
});

fuzz_target!(|text: &str| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    assert!(KEYS.publishers.verify(text, now).is_err(), "{text}");
    assert!(!explain(text, &KEYS, Action::Publish, &["a"], now).allowed, "{text}");
    if let Ok(keys) = Keys::read(text) {
        assert!(!keys.is_empty() && keys.verify(text, now).is_err());
    }
});
