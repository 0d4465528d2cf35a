use std::collections::BTreeMap;
use std::error::Error;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use js_sys::Function;
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit::client::{Credentials, Http, Subscription};
use ssekit::{Reconnect, Source, Status, source};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

/// The options of a source that a test sets.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    method: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    last_event_id: Option<String>,
    /// Sends cookies to every origin.
    with_credentials: bool,
    pause_when_hidden: bool,
    never_retry: bool,
    /// Milliseconds before a retry, without a random part.
    delay: Option<u64>,
    /// Milliseconds.
    read_timeout: Option<u64>,
    /// The name of the events; all names when it is absent.
    event: Option<String>,
}

/// A source, and its reader until it is dropped.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Reader {
    source: Source,
    reading: AbortHandle,
    _statuses: Subscription,
}

#[wasm_bindgen]
impl Reader {
    /// `note(kind, value)` is called with JSON for everything that happens: `event` (its data, or as much of
    /// that as is no JSON), `lost` (an error in its place), `end`, `open`, `error`, `close`, `status`.
    #[wasm_bindgen(constructor)]
    pub fn open(url: &str, options: &str, note: Function) -> Result<Self, JsValue> {
        let options: Options = serde_json::from_str(options).map_err(|error| error.to_string())?;
        // Objects of a page are not `Send`; closures of a page may hold them all the same.
        let note = Rc::new(move |kind: &str, value: Value| {
            let _ = note.call2(&JsValue::UNDEFINED, &kind.into(), &value.to_string().into());
        });
        let (opened, failed, closed, changed) = (note.clone(), note.clone(), note.clone(), note.clone());
        let source = options
            .source(url)
            .on_open(move |to| opened("open", json!([to.status().as_u16(), to.url()])))
            .on_error(move |error| failed("error", chain(&**error)))
            .on_close(move |reason| closed("close", chain(&**reason)));
        let statuses = source.statuses().subscribe(move |status| changed("status", json!(name(status))));
        let select = match &options.event {
            Some(event) => source.select(event),
            None => source.select_all(),
        };
        let mut values = select.json_or::<Value>(|failure| Some(json!(failure.raw)));
        let (reading, handle) = abortable(async move {
            while let Some(value) = values.next().await {
                match value {
                    Ok(value) => note("event", value),
                    Err(error) => note("lost", chain(&error)),
                }
            }
            note("end", Value::Null);
            // Whoever still listens may connect again.
            pending::<()>().await;
            drop(values);
        });
        spawn_local(async move {
            let _ = reading.await;
        });
        Ok(Self { source, reading: handle, _statuses: statuses })
    }

    /// The last event ID that the stream has set.
    #[wasm_bindgen(getter, js_name = "lastEventId")]
    pub fn last_event_id(&self) -> String {
        self.source.last_event_id()
    }

    /// Closes the connection for good.
    pub fn close(&self) {
        self.source.close();
    }

    /// Opens it again.
    pub fn connect(&self) {
        self.source.connect();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Options {
    fn source(&self, url: &str) -> Source {
        let milliseconds = Duration::from_millis;
        let mut source = source(url).pause_when_hidden(self.pause_when_hidden);
        if let Some(method) = &self.method {
            source = source.method(method);
        }
        for (name, value) in &self.headers {
            source = source.header(name, value);
        }
        if let Some(body) = &self.body {
            source = source.body(body.clone());
        }
        if let Some(id) = &self.last_event_id {
            source = source.resume_after(id);
        }
        if self.with_credentials {
            source = source.transport(Http::new().credentials(Credentials::Include));
        }
        if let Some(delay) = self.delay.map(milliseconds) {
            let policy = Reconnect::resilient().min_delay(delay).delay(delay).max_delay(delay);
            source = source.reconnect(policy.without_jitter());
        }
        if self.never_retry {
            source = source.reconnect(Reconnect::never());
        }
        if let Some(silence) = self.read_timeout.map(milliseconds) {
            source = source.read_timeout(silence);
        }
        source
    }
}

/// An error and its causes.
fn chain(error: &dyn Error) -> Value {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    json!(texts.join(": "))
}

fn name(status: &Status) -> &'static str {
    match status {
        Status::Idle => "idle",
        Status::Connecting => "connecting",
        Status::Open => "open",
        Status::Waiting { .. } => "waiting",
        Status::Paused => "paused",
        Status::Closed { .. } => "closed",
        _ => "another",
    }
}
