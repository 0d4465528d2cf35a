//! The state behind the boundary: sessions, and the buffers that are shared with JavaScript.

use alloc::vec::Vec;
use core::time::Duration;

use ssekit_session::{Answer, CloseReason, Config, Failure, MethodClass, Output, Session};

use crate::Settings;
use crate::settings::duration;
use crate::table::{Known, Table, address};

/// The state of one instance of the module.
#[derive(Debug)]
pub struct Instance {
    /// By handle; the handle of a freed connection is used again.
    connections: Vec<Option<Connection>>,
    /// The bytes that JavaScript writes: always as long as it asked for.
    input: Vec<u8>,
    table: Table,
    /// Numbers of the last output.
    detail: Detail,
}

#[derive(Debug)]
struct Connection {
    session: Session<()>,
    known: Known,
}

/// An input of a session, other than bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Open.
    Start,
    /// Open after the policy's delay.
    StartLater,
    /// Drop the connection and open it anew.
    Restart,
    /// Close, because it was asked for.
    Close,
    /// Close, because nobody listens.
    Unsubscribed,
    /// The stream ended. ([`Instance::ended`] gives its last event, too.)
    Ended,
    /// The attempt or the stream failed.
    Failed,
    /// The request can never be made.
    Unsendable,
    /// Time has passed.
    Tick,
    /// The received events are delivered.
    Reading,
    /// The page is hidden.
    Hidden,
    /// The page is shown.
    Shown,
    /// There is no network.
    Offline,
    /// There is a network.
    Online,
    /// The page will stand still.
    Frozen,
    /// Everything stood still until now.
    Thawed,
    /// The page became visible, or the machine may have slept. Its `retry_after` is the time that the clock
    /// of `now` did not count.
    Woken,
    /// No byte of the attempt's request has left.
    NothingSent,
    /// From now on the server may have the attempt's request.
    Sent,
}

/// Numbers that an output has, as far as they apply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Detail {
    /// The number of the [`Failure`], 0 for none.
    pub(crate) failure: u32,
    /// The moment of the next attempt in milliseconds.
    pub(crate) until: f64,
    /// The number of retries, when it gave up.
    pub(crate) retries: u32,
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Instance {
    /// Without connections.
    pub const fn new() -> Self {
        Self {
            connections: Vec::new(),
            input: Vec::new(),
            table: Table::new(),
            detail: Detail { failure: 0, until: 0.0, retries: 0 },
        }
    }

    /// Makes the input this long.
    pub fn input(&mut self, length: usize) -> &mut [u8] {
        if length < self.input.len() && self.input.len() > MAX_KEPT {
            self.input = Vec::new();
        }
        if self.input.len() < length {
            self.input.resize(length, 0);
        }
        &mut self.input[..length]
    }

    /// Opens a session; the input begins with its last event ID, and its method follows, in as many bytes
    /// (none for GET). `None` for an invalid last event ID.
    pub fn open(
        &mut self,
        settings: &Settings,
        last_event_id: usize,
        method: usize,
        seed: u64,
    ) -> Option<usize> {
        let id = text(self.input.get(..last_event_id)?)?;
        let method = match text(self.input.get(last_event_id..last_event_id.checked_add(method)?)?)? {
            "" => MethodClass::Safe,
            method => MethodClass::of(method),
        };
        let config = Config { method, ..settings.config() };
        let session = Session::new(config, seed).with_last_event_id(id).ok()?;
        let connection = Some(Connection { session, known: Known::new(id) });
        match self.connections.iter().position(Option::is_none) {
            Some(handle) => {
                self.connections[handle] = connection;
                Some(handle)
            }
            None => {
                self.connections.push(connection);
                Some(self.connections.len() - 1)
            }
        }
    }

    /// Frees a session.
    pub fn free(&mut self, handle: usize) {
        if let Some(connection) = self.connections.get_mut(handle) {
            *connection = None;
        }
    }

    /// Hands an input to a session.
    pub fn handle(&mut self, handle: usize, input: Input, retry_after: f64, now: f64) {
        let now = moment(now);
        let Some(session) = self.session(handle) else { return };
        match input {
            Input::Start => session.start(now),
            Input::StartLater => session.start_later(duration(retry_after), now),
            Input::Restart => session.restart(now),
            Input::Close => session.close(CloseReason::Local),
            Input::Unsubscribed => session.close(CloseReason::Unsubscribed),
            Input::Ended => session.ended(now, |_| {}),
            Input::Failed => session.failed((), now),
            Input::Unsendable => session.unsendable(()),
            Input::Tick => session.tick(now),
            Input::Reading => session.reading(now),
            Input::Hidden => session.hidden(true, now),
            Input::Shown => session.hidden(false, now),
            Input::Offline => session.offline(true, now),
            Input::Online => session.offline(false, now),
            Input::Frozen => session.frozen(now),
            Input::Thawed => session.thawed(now),
            Input::Woken => session.woken(duration(retry_after).unwrap_or_default(), now),
            Input::NothingSent => session.nothing_sent(),
            Input::Sent => session.sent(),
        }
    }

    /// The head of the answer: the input begins with the content type, and the encoding follows it.
    pub fn answered(
        &mut self,
        handle: usize,
        status: u16,
        content_type: Option<usize>,
        content_encoding: Option<usize>,
        retry_after: f64,
        now: f64,
    ) {
        let end = content_type.unwrap_or_default();
        let Self { connections, input, .. } = self;
        let answer = Answer {
            status,
            content_type: content_type.and_then(|length| input.get(..length)).and_then(text),
            content_encoding: content_encoding
                .and_then(|length| input.get(end..end.checked_add(length)?))
                .and_then(text),
            retry_after: duration(retry_after),
        };
        if let Some(Some(connection)) = connections.get_mut(handle) {
            connection.session.answered(&answer, moment(now));
        }
    }

    /// A piece of the answer's body, at the input's beginning; returns the table of its events.
    pub fn feed(&mut self, handle: usize, length: usize, now: f64) -> &[i32] {
        let Self { connections, input, table, .. } = self;
        table.begin(input.get(..length).unwrap_or_default());
        if let Some(Some(Connection { session, known })) = connections.get_mut(handle)
            && let Some(piece) = input.get(..length)
        {
            session.bytes(piece, moment(now), |item| table.push(item, known));
            table.push_id(session.last_event_id(), known);
        }
        self.table.finish()
    }

    /// The answer's body has ended; returns an incomplete event that is accepted or reported.
    pub fn ended(&mut self, handle: usize, now: f64) -> &[i32] {
        let Self { connections, table, .. } = self;
        table.begin(b"");
        if let Some(Some(Connection { session, known })) = connections.get_mut(handle) {
            session.ended(moment(now), |item| table.push(item, known));
            table.push_id(session.last_event_id(), known);
        }
        self.table.finish()
    }

    /// The number of the next output, 0 for none. The body of a refusal is then the text.
    pub fn next_output(&mut self, handle: usize) -> u32 {
        let Some(output) = self.session(handle).and_then(Session::next_output) else { return 0 };
        self.table.begin(b"");
        self.detail = Detail::default();
        match output {
            Output::Connect { first: true } => 1,
            Output::Connect { first: false } => 2,
            Output::Disconnect => 3,
            Output::Opened => 4,
            Output::Waiting { until, failure } => {
                self.detail.until = millis(until);
                self.note(failure);
                5
            }
            Output::Paused { failure } => {
                self.note(failure);
                6
            }
            Output::Closed(reason) => self.closed(reason),
            // An output that this module does not know is skipped.
            _ => self.next_output(handle),
        }
    }

    fn closed(&mut self, reason: CloseReason<()>) -> u32 {
        match reason {
            CloseReason::Local => 7,
            CloseReason::Unsubscribed => 8,
            CloseReason::Ended => 9,
            CloseReason::NoContent => 10,
            CloseReason::Failed(failure) => {
                self.note(Some(failure));
                11
            }
            CloseReason::GaveUp { retries, failure } => {
                self.detail.retries = retries;
                self.note(Some(failure));
                12
            }
            CloseReason::NotRepeated(failure) => {
                self.note(Some(failure));
                13
            }
            _ => 11,
        }
    }

    /// Keeps the failure for JavaScript to read.
    fn note(&mut self, failure: Option<Failure<()>>) {
        let Some(failure) = failure else { return };
        self.detail.failure = match failure {
            Failure::Request(()) => 1,
            Failure::Connect(()) => 2,
            Failure::ConnectTimeout => 3,
            Failure::Read(()) => 4,
            Failure::ReadTimeout => 5,
            Failure::Ended => 6,
            Failure::NoContent => 7,
            Failure::Status { body, .. } => {
                *self.table.text_mut() = body;
                8
            }
            Failure::ContentType { body } => {
                *self.table.text_mut() = body;
                9
            }
            Failure::ContentEncoding => 10,
            Failure::Frozen => 11,
            _ => 2,
        };
    }

    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    /// When [`Input::Tick`] is due, in milliseconds; negative for never.
    pub fn deadline(&self, handle: usize) -> f64 {
        let connection = self.connections.get(handle).and_then(Option::as_ref);
        connection.and_then(|connection| connection.session.deadline()).map_or(-1.0, millis)
    }

    /// The address and length of the text.
    pub(crate) fn text(&self) -> (u32, u32) {
        (address(self.table.text()), self.table.text().len() as u32)
    }

    fn session(&mut self, handle: usize) -> Option<&mut Session<()>> {
        self.connections.get_mut(handle)?.as_mut().map(|connection| &mut connection.session)
    }
}

/// The most bytes that the input keeps between calls.
const MAX_KEPT: usize = 256 << 10;

#[inline(never)]
fn moment(millis: f64) -> Duration {
    duration(millis).unwrap_or_default()
}

fn millis(moment: Duration) -> f64 {
    moment.as_micros() as f64 / 1000.0
}

/// The input as text: JavaScript writes UTF-8, by `TextEncoder`.
#[inline(never)]
fn text(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{HEAD, ROW};

    fn write(instance: &mut Instance, text: &str) -> usize {
        instance.input(text.len()).copy_from_slice(text.as_bytes());
        text.len()
    }

    fn open(instance: &mut Instance) -> usize {
        let handle = instance.open(&Settings::UNSET, 0, 0, 1).unwrap();
        instance.handle(handle, Input::Start, -1.0, 0.0);
        assert_eq!(instance.next_output(handle), 1);
        let length = write(instance, "text/event-stream");
        instance.answered(handle, 200, Some(length), None, -1.0, 1.0);
        assert_eq!(instance.next_output(handle), 4);
        assert_eq!(instance.next_output(handle), 0);
        handle
    }

    #[test]
    fn each_connection_has_names_and_an_id_of_its_own() {
        let mut instance = Instance::new();
        let (one, other) = (open(&mut instance), open(&mut instance));
        for handle in [one, other] {
            let length = write(&mut instance, "id: 1\nevent: tick\ndata: x\ndata: y\n\n: c\n\nid: 2\n\n");
            let numbers = instance.feed(handle, length, 2.0).to_vec();
            assert_eq!(numbers[0], 2);
            assert_eq!(numbers[HEAD..HEAD + ROW], [1, 4, 1, -1, 3]);
            assert_eq!(numbers[HEAD + ROW..], [crate::table::ID_ALONE, -1, 1, -1, 0]);
            assert_eq!(instance.table.text(), b"tick1x\ny2");
        }
        instance.free(one);
        assert_eq!(open(&mut instance), one);
    }

    #[test]
    fn a_refusal_has_its_body_as_text() {
        let mut instance = Instance::new();
        let handle = instance.open(&Settings::UNSET, 0, 0, 1).unwrap();
        instance.handle(handle, Input::Start, -1.0, 0.0);
        assert_eq!(instance.next_output(handle), 1);
        instance.answered(handle, 404, None, None, -1.0, 1.0);
        let length = write(&mut instance, "not here");
        instance.feed(handle, length, 2.0);
        instance.handle(handle, Input::Ended, -1.0, 3.0);
        assert_eq!((instance.next_output(handle), instance.next_output(handle)), (3, 11));
        assert_eq!(instance.detail(), Detail { failure: 8, until: 0.0, retries: 0 });
        assert_eq!(instance.table.text(), b"not here");
        assert_eq!(instance.deadline(handle), -1.0);
    }

    #[test]
    fn handles_and_lengths_that_are_none_have_no_effect() {
        let mut instance = Instance::new();
        let handle = open(&mut instance);
        for wrong in [handle + 1, usize::MAX] {
            instance.free(wrong);
            instance.handle(wrong, Input::Tick, f64::NAN, f64::NEG_INFINITY);
            instance.answered(wrong, 0, Some(usize::MAX), Some(usize::MAX), f64::INFINITY, f64::NAN);
            assert_eq!(instance.next_output(wrong), 0);
            assert_eq!(instance.deadline(wrong), -1.0);
            assert_eq!(instance.feed(wrong, 3, 0.0)[0], 0);
        }
        assert_eq!(instance.feed(handle, usize::MAX, f64::NAN)[0], 0);
        assert_eq!(instance.open(&Settings::UNSET, usize::MAX, 1, 0), None);
        assert_eq!(instance.open(&Settings::UNSET, 1, usize::MAX, 0), None);
        assert_eq!(instance.ended(usize::MAX, f64::NAN)[0], 0);
        let length = write(&mut instance, "a\nb");
        assert_eq!(instance.open(&Settings::UNSET, length, 0, 0), None);
    }

    /// The outputs after a stream broke, after this event, with this method.
    fn outputs_after_a_break(method: &str, event: &str) -> Vec<u32> {
        let mut instance = Instance::new();
        let length = write(&mut instance, method);
        let handle = instance.open(&Settings::UNSET, 0, length, 1).unwrap();
        instance.handle(handle, Input::Start, -1.0, 0.0);
        let length = write(&mut instance, "text/event-stream");
        instance.answered(handle, 200, Some(length), None, -1.0, 1.0);
        let length = write(&mut instance, event);
        instance.feed(handle, length, 2.0);
        instance.handle(handle, Input::Failed, -1.0, 3.0);
        core::iter::from_fn(|| Some(instance.next_output(handle)).filter(|output| *output != 0)).collect()
    }

    #[test]
    fn the_method_decides_whether_a_request_is_repeated() {
        assert_eq!(outputs_after_a_break("POST", "data: x\n\n"), [1, 4, 3, 13]);
        assert_eq!(outputs_after_a_break("POST", "id: 1\ndata: x\n\n"), [1, 4, 3, 5]);
        assert_eq!(outputs_after_a_break("PUT", "data: x\n\n"), [1, 4, 3, 5]);
        assert_eq!(outputs_after_a_break("", "data: x\n\n"), [1, 4, 3, 5]);
    }

    #[test]
    fn a_request_that_was_not_sent_is_repeated() {
        for (inputs, outputs) in [
            (&[Input::NothingSent][..], [1, 3, 5]),
            (&[Input::NothingSent, Input::Sent], [1, 3, 13]),
            (&[], [1, 3, 13]),
        ] {
            let mut instance = Instance::new();
            let length = write(&mut instance, "POST");
            let handle = instance.open(&Settings::UNSET, 0, length, 1).unwrap();
            for &input in [Input::Start].iter().chain(inputs).chain(&[Input::Failed]) {
                instance.handle(handle, input, -1.0, 0.0);
            }
            let seen: Vec<_> = (0..3).map(|_| instance.next_output(handle)).collect();
            assert_eq!(seen, outputs, "{inputs:?}");
        }
    }

    #[test]
    fn an_event_that_is_not_complete_crosses_or_is_reported() {
        let accepting = Settings { accepts_incomplete_event: 1, ..Settings::UNSET };
        for (settings, rows) in [
            (&accepting, &[0, -1, 1, -1, 1][..]),
            (&Settings::UNSET, &[crate::table::INCOMPLETE, -1, -1, -1, 0]),
        ] {
            let mut instance = Instance::new();
            let handle = instance.open(settings, 0, 0, 1).unwrap();
            instance.handle(handle, Input::Start, -1.0, 0.0);
            let length = write(&mut instance, "text/event-stream");
            instance.answered(handle, 200, Some(length), None, -1.0, 1.0);
            let length = write(&mut instance, "id: 1\ndata: x");
            assert_eq!(instance.feed(handle, length, 2.0)[0], 0);
            assert_eq!(instance.ended(handle, 3.0)[HEAD..], *rows);
        }
    }

    #[test]
    fn a_page_that_slept_opens_a_silent_stream_again() {
        let mut instance = Instance::new();
        let handle = open(&mut instance);
        instance.handle(handle, Input::Woken, 50_000.0, 5_000.0);
        assert_eq!(instance.next_output(handle), 0);
        instance.handle(handle, Input::Woken, 60_000.0, 5_000.0);
        assert_eq!((instance.next_output(handle), instance.next_output(handle)), (3, 2));
    }
}
