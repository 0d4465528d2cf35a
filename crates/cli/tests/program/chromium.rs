//! Browser, controlled by the DevTools protocol over a pipe; the tests need nothing but Chromium itself.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::program::PATIENCE;

pub(crate) struct Chromium {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    last: u64,
    profile: PathBuf,
}

/// Page in a profile of its own, as in another browser.
pub(crate) struct Page {
    session: String,
    target: String,
}

/// Appearance of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) scheme: &'static str,
}

pub(crate) const DESKTOP: Look = Look { width: 1280, height: 900, scheme: "light" };

impl Chromium {
    /// # Panics
    /// When there is no Chromium; the message names the package to install.
    pub(crate) fn start() -> Self {
        let program = std::env::var("CHROMIUM").ok().or_else(|| {
            let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
            let path = std::env::var_os("PATH")?;
            let mut places =
                std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
            places.find(|place| place.is_file()).map(|place| place.to_string_lossy().into_owned())
        });
        let program = program.expect(
            "this test needs Chromium: `apt-get install chromium` (Debian, Ubuntu), or set CHROMIUM to the \
             program",
        );
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let profile = format!("{}/chromium-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        // The browser reads commands from descriptor 3 and answers on 4: the shell puts our pipes there.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", &program])
            .args([
                "--remote-debugging-pipe",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en"])
            .arg(format!("--user-data-dir={profile}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell is there");
        let commands = process.stdin.take().expect("piped");
        let answers = process.stdout.take().expect("piped");
        let (sender, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let message = message.ok().and_then(|message| serde_json::from_slice(&message).ok());
                if message.is_none_or(|message| sender.send(message).is_err()) {
                    return;
                }
            }
        });
        let profile = PathBuf::from(profile);
        Self { process, commands, messages, events: VecDeque::new(), last: 0, profile }
    }

    pub(crate) fn open(&mut self, url: &str, look: Look) -> Page {
        let context = self.call("Target.createBrowserContext", &json!({}));
        let context = json!({ "url": "about:blank", "browserContextId": context["browserContextId"] });
        let target = self.call("Target.createTarget", &context)["targetId"].clone();
        let session = self.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        let text = |value: &Value| value.as_str().expect("an id is text").to_owned();
        let page = Page { session: text(&session["sessionId"]), target: text(&target) };
        for domain in ["Page", "Runtime", "Log"] {
            self.on(&page, &format!("{domain}.enable"), &json!({}));
        }
        self.look(&page, look);
        self.on(&page, "Page.navigate", &json!({ "url": url }));
        page
    }

    pub(crate) fn close(&mut self, page: &Page) {
        self.call("Target.closeTarget", &json!({ "targetId": page.target }));
    }

    pub(crate) fn look(&mut self, page: &Page, Look { width, height, scheme }: Look) {
        let phone = width < 600;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone
        });
        self.on(page, "Emulation.setDeviceMetricsOverride", &size);
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.on(page, "Emulation.setEmulatedMedia", &features);
    }

    /// Value of a script, once its promise is settled.
    pub(crate) fn evaluate(&mut self, page: &Page, script: &str) -> Value {
        self.try_evaluate(page, script).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script returns a true value, and returns that.
    pub(crate) fn wait_for(&mut self, page: &Page, script: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        let careful = format!("(() => {{ try {{ return {script} }} catch {{ return false }} }})()");
        loop {
            // A page that is being reloaded cannot run scripts for a moment.
            let found = self.try_evaluate(page, &careful).unwrap_or_default();
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return found;
            }
            if Instant::now() > end {
                let text = self.evaluate(page, "document.body.innerText");
                let requests = self.requests(page);
                panic!("it never comes: {script}\n{:#?}\n{requests:#}\n{text}", self.problems());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Time since the page was loaded, and its last finished requests.
    pub(crate) fn requests(&mut self, page: &Page) -> Value {
        let ended = "performance.getEntriesByType('resource').slice(-5).map((one) => `${one.name} \
                     ${one.responseStatus} ${one.startTime} to ${one.responseEnd}`)";
        self.evaluate(page, &format!("[performance.now(), ...{ended}]"))
    }

    /// Types into a field like a person, replacing its text, and presses Enter.
    pub(crate) fn fill(&mut self, page: &Page, id: &str, text: &str) {
        self.evaluate(page, &format!("document.getElementById({id:?}).select()"));
        self.on(page, "Input.insertText", &json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let enter = json!({
                "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"
            });
            self.on(page, "Input.dispatchKeyEvent", &enter);
        }
    }

    /// Visible part of the page as PNG.
    pub(crate) fn screenshot(&mut self, page: &Page) -> Vec<u8> {
        let answer = self.on(page, "Page.captureScreenshot", &json!({ "format": "png" }));
        STANDARD.decode(answer["data"].as_str().expect("text")).expect("base64")
    }

    /// Lists within each log, as assistive technology sees them: `LABEL: list of listitem`.
    pub(crate) fn lists_in_logs(&mut self, page: &Page) -> Vec<String> {
        let tree = self.on(page, "Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().expect("a tree has nodes").clone();
        let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
        let children = |node: &Value| -> Vec<Value> {
            let ids = node["childIds"].as_array().cloned().unwrap_or_default();
            nodes.iter().filter(|node| ids.contains(&node["nodeId"])).cloned().collect()
        };
        let mut lists = Vec::new();
        for log in nodes.iter().filter(|node| role(node) == "log") {
            for list in children(log) {
                let mut items: Vec<String> = children(&list).iter().map(&role).collect();
                items.dedup();
                let label = log["name"]["value"].as_str().unwrap_or_default();
                lists.push(format!("{label}: {} of {}", role(&list), items.join(", ")));
            }
        }
        lists
    }

    /// Errors of pages: exceptions, and loads that failed or were refused.
    pub(crate) fn problems(&mut self) -> Vec<Value> {
        let is_problem = |event: &Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.extend(self.messages.try_iter());
        self.events.drain(..).filter(is_problem).collect()
    }

    fn try_evaluate(&mut self, page: &Page, script: &str) -> Result<Value, Value> {
        let evaluation = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.send("Runtime.evaluate", &evaluation, Some(&page.session))?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(exception) => Err(exception.clone()),
        }
    }

    /// Answer of the browser to a command for a page.
    pub(crate) fn on(&mut self, page: &Page, method: &str, parameters: &Value) -> Value {
        let answer = self.send(method, parameters, Some(&page.session));
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let answer = self.send(method, parameters, None);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Answer of the browser, or its error.
    fn send(&mut self, method: &str, parameters: &Value, session: Option<&str>) -> Result<Value, Value> {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        write!(self.commands, "{command}\0").and_then(|()| self.commands.flush()).expect("the browser runs");
        loop {
            let message = self.messages.recv_timeout(2 * PATIENCE);
            let message =
                message.unwrap_or_else(|error| panic!("the browser does not answer {method}: {error}"));
            if message["id"] == self.last {
                return message
                    .get("error")
                    .map_or_else(|| Ok(message["result"].clone()), |error| Err(error.clone()));
            }
            self.events.push_back(message);
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The browser ends its own processes at this command.
        let _ = write!(self.commands, "{}\0", json!({ "id": 0, "method": "Browser.close" }));
        let _ = self.commands.flush();
        while self.messages.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}
