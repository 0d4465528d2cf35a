//! The boundary: functions of numbers that JavaScript calls.
//!
//! An invalid handle or length has no effect. Texts are handed in through the input: JavaScript asks for its
//! address with the length that it needs, and writes there before the call.

#![allow(
    unsafe_code,
    reason = "the attribute that gives an export its name counts as unsafe; there is no unsafe block"
)]

use spin::{Mutex, MutexGuard};

use crate::table::address;
use crate::{Input, Instance, Settings};

static INSTANCE: Mutex<Instance> = Mutex::new(Instance::new());

/// One thread runs this, and nothing is called back: the lock is free, or a call has trapped under it.
fn instance() -> MutexGuard<'static, Instance> {
    INSTANCE.try_lock().expect("a call has trapped: the module is to be given up")
}

/// Makes the input this many bytes long; returns its address.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn input(length: u32) -> u32 {
    address(instance().input(length as usize))
}

/// Opens a session; the input begins with its last event ID, and its method follows, with these lengths.
/// Returns its handle, or -1 for an invalid last event ID.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
#[allow(clippy::too_many_arguments, reason = "numbers are all that can cross")]
pub extern "C" fn session_open(
    preset: u32,
    delay: f64,
    min_delay: f64,
    max_delay: f64,
    max_server_delay: f64,
    max_retries: f64,
    jitter: f64,
    after_end: f64,
    connect_timeout: f64,
    read_timeout: f64,
    max_event_bytes: f64,
    pauses_hidden: u32,
    repeats_like_safe: u32,
    accepts_incomplete_event: u32,
    last_event_id: u32,
    method: u32,
    seed: f64,
) -> i32 {
    let settings = Settings {
        preset,
        delay,
        min_delay,
        max_delay,
        max_server_delay,
        max_retries,
        jitter,
        after_end,
        connect_timeout,
        read_timeout,
        max_event_bytes,
        pauses_hidden,
        repeats_like_safe,
        accepts_incomplete_event,
    };
    let handle = instance().open(&settings, last_event_id as usize, method as usize, seed.to_bits());
    handle.map_or(-1, |handle| handle as i32)
}

/// Frees a session.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_free(handle: u32) {
    instance().free(handle as usize);
}

/// Hands an input to a session; `retry_after` (for `Woken`: the time that `now` does not count) in
/// milliseconds or negative, `now` in milliseconds.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_input(handle: u32, input: u32, retry_after: f64, now: f64) {
    const INPUTS: [Input; 19] = [
        Input::Start,
        Input::StartLater,
        Input::Restart,
        Input::Close,
        Input::Unsubscribed,
        Input::Ended,
        Input::Failed,
        Input::Unsendable,
        Input::Tick,
        Input::Reading,
        Input::Hidden,
        Input::Shown,
        Input::Offline,
        Input::Online,
        Input::Frozen,
        Input::Thawed,
        Input::Woken,
        Input::NothingSent,
        Input::Sent,
    ];
    if let Some(&input) = INPUTS.get(input as usize) {
        instance().handle(handle as usize, input, retry_after, now);
    }
}

/// The head of the answer: the lengths of the content type and of the encoding in the input, or -1.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_answered(
    handle: u32,
    status: u32,
    content_type: i32,
    content_encoding: i32,
    retry_after: f64,
    now: f64,
) {
    let length = |length: i32| usize::try_from(length).ok();
    let status = u16::try_from(status).unwrap_or_default();
    instance().answered(
        handle as usize,
        status,
        length(content_type),
        length(content_encoding),
        retry_after,
        now,
    );
}

/// A piece of the answer's body, this many bytes of the input; returns the address of its table of events.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_feed(handle: u32, length: u32, now: f64) -> u32 {
    address(instance().feed(handle as usize, length as usize, now))
}

/// The answer's body has ended; returns the address of the table of its last event.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_ended(handle: u32, now: f64) -> u32 {
    address(instance().ended(handle as usize, now))
}

/// The number of the next output, or 0 for none.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_output(handle: u32) -> u32 {
    instance().next_output(handle as usize)
}

/// The number of the last output's failure, or 0 for none.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn output_failure() -> u32 {
    instance().detail().failure
}

/// The time of the next attempt, of the last output.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn output_until() -> f64 {
    instance().detail().until
}

/// The number of retries, of the last output.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn output_retries() -> u32 {
    instance().detail().retries
}

/// When a tick is due in milliseconds; negative for never.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn session_deadline(handle: u32) -> f64 {
    instance().deadline(handle as usize)
}

/// The address of the text.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn text_address() -> u32 {
    instance().text().0
}

/// The length of the text in bytes.
#[cfg_attr(target_arch = "wasm32", unsafe(no_mangle))]
pub extern "C" fn text_length() -> u32 {
    instance().text().1
}
