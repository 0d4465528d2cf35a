//! Whether a client may send its request again: one table, which every client follows.

/// Method classes of RFC 9110, section 9.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MethodClass {
    /// The request only reads (9.2.1): GET, HEAD, OPTIONS, TRACE.
    #[default]
    Safe,
    /// Several requests have the effect of one (9.2.2): PUT, DELETE; also a POST with an `Idempotency-Key`,
    /// if the server honors it.
    Idempotent,
    /// Each request may have an effect of its own: POST, PATCH, and every method that is not listed above.
    Neither,
}

/// How far a request had come when its attempt or its stream was over.
///
/// `resumes`: the next request would send a last event ID, so that the server can continue the stream instead
/// of doing the work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// No byte of the request has left: no address, no connection, no headers to send.
    NothingSent,
    /// The server may have the request, but no response head has come.
    NoHead {
        /// The next request would resume after an event.
        resumes: bool,
    },
    /// The response is not an event stream.
    Refused {
        /// The status of the response.
        status: u16,
        /// The next request would resume after an event.
        resumes: bool,
    },
    /// The stream broke off.
    Broken {
        /// The next request would resume after an event.
        resumes: bool,
    },
    /// The server ended the stream: the response is complete.
    Ended {
        /// The stream has set a reconnection time by `retry:`, so the server expects clients to return.
        asked_to_return: bool,
    },
}

/// Whether a connection is made again after the server has ended the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AfterEnd {
    /// Always for safe methods, as a browser's `EventSource` does; like [`Asked`](Self::Asked) for all
    /// others.
    #[default]
    ByMethod,
    /// Always, whatever the method.
    Always,
    /// If the server has set a reconnection time by `retry:`: then it expects clients to return.
    Asked,
    /// The end of the stream is the end.
    Never,
}

/// The caller's choice; a part of [`Reconnect`](crate::Reconnect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RepeatChoice {
    /// Whether to ask again after the server has ended the stream.
    pub after_end: AfterEnd,
    /// Requests of every method are repeated like safe ones.
    pub like_safe: bool,
    /// Responses that ask for patience or report a passing failure (408, 425, 429, 5xx) are retried.
    pub after_refusal: bool,
}

impl Default for RepeatChoice {
    fn default() -> Self {
        Self { after_end: AfterEnd::ByMethod, like_safe: false, after_refusal: true }
    }
}

/// The reason why a request is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRepeated {
    /// The response is final: asking again would not help.
    Refused,
    /// The response is complete.
    Answered,
    /// The request may have had an effect, which repeating it might cause a second time.
    MayHaveHadEffect,
}

impl MethodClass {
    /// The class of the method with this name. Names are case-sensitive (RFC 9110, section 9.1).
    pub fn of(method: &str) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" => Self::Safe,
            "PUT" | "DELETE" => Self::Idempotent,
            _ => Self::Neither,
        }
    }
}

/// Whether the request may be sent again.
///
/// | The attempt or stream | safe | idempotent | neither |
/// |---|---|---|---|
/// | nothing was sent (connection refused, no such host, no headers) | yes | yes | yes |
/// | sent, no response head (reset, timeout), and an id to resume after | yes | yes | yes |
/// | sent, no response head, no id | yes | yes | **no**, it may have had an effect |
/// | refused with 408, 425, 429 or 503: the server did not process it | yes | yes | yes |
/// | refused with another 5xx, and an id to resume after | yes | yes | yes |
/// | refused with another 5xx, no id | yes | yes | **no**, it may have had an effect |
/// | refused with anything else, 204, or no event stream | **no** | **no** | **no** |
/// | the stream broke off, and an id to resume after | yes | yes | yes |
/// | the stream broke off, no id | yes | yes | **no**, it may have had an effect |
/// | the server ended the stream after a `retry:` | yes | yes | yes |
/// | the server ended the stream without a `retry:` | yes | **no**, it was answered | **no**, it was answered |
///
/// The caller's choice changes it so:
///
/// | Choice | Effect |
/// |---|---|
/// | [`like_safe`](RepeatChoice::like_safe) | every method takes the column "safe" |
/// | [`after_end`](RepeatChoice::after_end) | replaces the last two rows: always, only after `retry:`, never |
/// | no [`after_refusal`](RepeatChoice::after_refusal) | every refusal is final, as for a browser's `EventSource` |
///
/// # Errors
/// The reason why it may not be sent again.
pub fn repeat(method: MethodClass, progress: Progress, choice: RepeatChoice) -> Result<(), NotRepeated> {
    let method = if choice.like_safe { MethodClass::Safe } else { method };
    let unless_it_had_an_effect = |resumes: bool| match method {
        MethodClass::Neither if !resumes => Err(NotRepeated::MayHaveHadEffect),
        _ => Ok(()),
    };
    match progress {
        Progress::NothingSent => Ok(()),
        Progress::NoHead { resumes } | Progress::Broken { resumes } => unless_it_had_an_effect(resumes),
        Progress::Refused { status, resumes } => match status {
            408 | 425 | 429 | 503 if choice.after_refusal => Ok(()),
            500..=599 if choice.after_refusal => unless_it_had_an_effect(resumes),
            _ => Err(NotRepeated::Refused),
        },
        Progress::Ended { asked_to_return } => {
            let returns = match choice.after_end {
                AfterEnd::ByMethod => asked_to_return || method == MethodClass::Safe,
                AfterEnd::Always => true,
                AfterEnd::Asked => asked_to_return,
                AfterEnd::Never => false,
            };
            if returns { Ok(()) } else { Err(NotRepeated::Answered) }
        }
    }
}

/// Whether a request with this last event ID resumes: a header can carry it (RFC 9110, section 5.5)
/// unchanged.
pub(crate) fn resumes(last_event_id: &str) -> bool {
    const LONGEST: usize = 16 << 10;
    !last_event_id.is_empty()
        && last_event_id.len() <= LONGEST
        && last_event_id.trim_matches([' ', '\t']).len() == last_event_id.len()
        && !last_event_id.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7F)
}
