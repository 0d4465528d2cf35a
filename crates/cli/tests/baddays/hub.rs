//! The built program under test: start, requests, measurements, kills.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything in these tests takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Path of the hub.
pub(crate) const PATH: &str = "/.well-known/mercure";

/// Running hub, killed when dropped.
pub(crate) struct Hub {
    child: Child,
    pub(crate) addr: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

/// Complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Hub {
    /// Starts a hub in memory with `--dev` and these flags.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::of(Command::new(PROGRAM).args(OPEN).args(["--addr", "127.0.0.1:0"]).args(flags))
    }

    /// Starts a hub with this command.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::try_of(command).unwrap_or_else(|said| panic!("the hub does not start: {said}"))
    }

    /// Starts a hub with this command, or returns its output.
    pub(crate) fn try_of(command: &mut Command) -> Result<Self, String> {
        let command = command.env_remove("SSEKIT_ADDR").stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program is there");
        let said = Arc::<Mutex<Vec<String>>>::default();
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let listener = {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in errors.lines().map_while(Result::ok) {
                    said.lock().expect("nobody panics with it").push(line);
                }
            })
        };
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let Some(line) = lines.find(|line| line.contains("the hub ")) else {
            let _ = child.wait();
            let _ = listener.join();
            return Err(said.lock().expect("nobody panics with it").join("\n"));
        };
        // Further output is read and dropped.
        thread::spawn(move || lines.count());
        let addr = line.split("://").nth(1).and_then(|url| url.split('/').next()?.parse().ok());
        Ok(Self { child, addr: addr.unwrap_or_else(|| panic!("no address in {line:?}")), said })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Publishes and returns any answer.
    pub(crate) fn try_publish(&self, topic: &str, data: &str) -> Answer {
        self.post(&format!("topic={topic}&data={data}"))
    }

    /// Publishes and returns the id.
    pub(crate) fn publish(&self, topic: &str, data: &str) -> String {
        let answer = self.try_publish(topic, data);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) fn post(&self, form: &str) -> Answer {
        self.ask(&post(form, "connection: close\r\n"))
    }

    /// Publishes updates to a topic in batches, on one connection.
    pub(crate) fn fill(&self, topic: &str, count: usize, size: usize) {
        let data = "x".repeat(size);
        let line = format!("{{\"topic\":\"{topic}\",\"data\":\"{data}\"}}\n");
        let batch = (500_000 / line.len()).clamp(1, 1000);
        let mut left = count;
        while left > 0 {
            let now = left.min(batch);
            let body = line.repeat(now);
            let answer = self.ask(&format!(
                "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: \
                 application/x-ndjson\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ));
            assert_eq!(answer.status, 200, "{answer:?}");
            left -= now;
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// Sends these bytes, and reads the answer to the end of the connection.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).expect("the hub reads");
        Answer::read(&mut socket).expect("the hub answers")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.addr).expect("the hub accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        socket.set_nodelay(true).expect("it can be set");
        socket
    }

    /// Value of a metric with its labels.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        self.try_figure(name).unwrap_or_else(|answer| panic!("no {name} in\n{answer:?}"))
    }

    fn try_figure(&self, name: &str) -> Result<u64, Answer> {
        let answer = self.get("/metrics");
        let value = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        value.map(|value| value as u64).ok_or(answer)
    }

    /// Waits until a metric fulfils a condition.
    ///
    /// Before that, the hub may refuse the connection, or not have the metric.
    pub(crate) fn expect_figure(&self, name: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.try_figure(name) {
                Ok(figure) if wanted(figure) => return figure,
                other => assert!(Instant::now() < end, "{name} does not become what it must: {other:?}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lines on standard error with this text.
    pub(crate) fn log_lines(&self, text: &str) -> Vec<String> {
        let said = self.said.lock().expect("nobody panics with it");
        said.iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) fn log(&self) -> String {
        self.said.lock().expect("nobody panics with it").join("\n")
    }

    /// Memory of the process in bytes.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(self.pid())
    }

    /// CPU time of the process.
    pub(crate) fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs, on Linux");
        let fields: Vec<_> = stat.rsplit(')').next().expect("a last part").split_whitespace().collect();
        let ticks: u64 =
            fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number");
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -s {signal} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell is there");
        assert!(sent.success(), "SIG{signal} was not sent");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the program's end", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.log();
            let from = said.len().saturating_sub(2000);
            let from = (from..=said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
            eprintln!("the hub has said:\n{}", &said[from..]);
        }
    }
}

impl Answer {
    /// Reads up to the end of the connection.
    pub(crate) fn read(socket: &mut impl Read) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {text:?}")))?;
        Ok(Self { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Memory of a process in bytes.
pub(crate) fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs, on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Request of a publication.
pub(crate) fn post(form: &str, more: &str) -> String {
    let length = form.len();
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         {more}content-length: {length}\r\n\r\n{form}"
    )
}

/// Request of a subscription.
pub(crate) fn subscribe(query: &str) -> String {
    format!("GET {PATH}?{query} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < end, "{what}: it does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the peer has closed the connection; true if it has within the time.
pub(crate) fn is_closed_within(socket: &mut TcpStream, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut scratch = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).expect("a timeout can be set");
        match socket.read(&mut scratch) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                if Instant::now() >= end {
                    return false;
                }
            }
            Err(_) => return true,
        }
    }
}

/// Raises the limit of open files of this process to its maximum.
pub(crate) fn many_descriptors(needed: u64) {
    let most = rlimit::increase_nofile_limit(u64::MAX).expect("one may have what one may have");
    assert!(
        most >= needed,
        "this test needs {needed} file descriptors, and may have {most}: raise `ulimit -Hn`"
    );
}

/// Size for the usual run, or for the long run.
pub(crate) fn scaled<T: Debug>(short: T, long: T) -> T {
    if std::env::var_os("SSEKIT_SOAK").is_some() { long } else { short }
}

pub(crate) fn ssekit() -> Command {
    Command::new(PROGRAM)
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_ssekit");
pub(crate) const OPEN: [&str; 5] = ["serve", "--dev", "--subscriptions=false", "--store", "memory"];

impl Hub {
    pub(crate) fn subscribers(&self) -> u64 {
        self.figure("ssekit_subscribers")
    }

    pub(crate) fn expect_subscribers(&self, wanted: u64) {
        self.expect_figure("ssekit_subscribers", |now| now == wanted);
    }

    /// Publishes `again`, if the hub accepts it now.
    pub(crate) fn try_again(&self) -> Option<Answer> {
        let mut socket = TcpStream::connect(self.addr).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.write_all(post("topic=a&data=again", "connection: close\r\n").as_bytes()).ok()?;
        Answer::read(&mut socket).ok()
    }
}
