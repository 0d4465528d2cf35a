//! The proxies, each started with its file in `examples/hub`, in which only addresses and paths are replaced.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;

use crate::hub::{PATH, folder, free_addr, read_example};
use crate::program::{PATIENCE, Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    HaProxy,
}

pub(crate) const ALL: [Kind; 3] = [Kind::Nginx, Kind::Caddy, Kind::HaProxy];

/// Proxy in front of a hub, with its own certificate.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    addr: String,
    folder: PathBuf,
    program: Option<Program>,
}

impl Proxy {
    /// Starts a proxy in front of a hub that listens, or will listen, at this address.
    pub(crate) fn start(kind: Kind, hub: &str) -> Self {
        Self::start_with(kind, hub, &[])
    }

    /// Starts a proxy, with further replacements in its file.
    pub(crate) fn start_with(kind: Kind, hub: &str, replacements: &[(&str, &str)]) -> Self {
        let folder = folder(&format!("{kind:?}"));
        let addr = free_addr();
        let certificate = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        write(&folder.join("fullchain.pem"), &pem);
        write(&folder.join("privkey.pem"), &key);
        write(&folder.join("hub.pem"), &format!("{pem}{key}"));
        std::fs::create_dir_all(folder.join("www")).expect("a folder can be made");
        write(&folder.join("www/index.html"), &read_example("page.html"));
        let mut proxy = Self { kind, addr, folder, program: None };
        let text = proxy.adapted(hub);
        let text = replacements.iter().fold(text, |text, (old, new)| replace(&text, old, new));
        write(&proxy.folder.join(kind.file()), &text);
        proxy.begin();
        proxy
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn begin(&mut self) {
        let file = self.folder.join(self.kind.file());
        let mut command = Command::new(self.kind.program());
        match self.kind {
            Kind::Nginx => command
                .args(["-e", "stderr", "-g", "daemon off;", "-p"])
                .arg(&self.folder)
                .arg("-c")
                .arg(file),
            Kind::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                command.env("XDG_DATA_HOME", &self.folder).env("XDG_CONFIG_HOME", &self.folder)
            }
            Kind::HaProxy => command.args(["-db", "-f"]).arg(file),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        // Debian has two of them in folders that are only in the administrator's PATH.
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        let program = self.kind.program();
        let there = std::env::split_paths(&format!("{path}:/usr/sbin:/sbin"))
            .any(|folder| folder.join(program).is_file());
        assert!(there, "this test needs {program}: `apt-get install {program}` (Debian, Ubuntu)");
        let mut program = Program::start(&mut command);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(&self.addr).is_err() {
            if let Some(status) = program.ended() {
                panic!("{:?} ended with {status}: {}", self.kind, program.stderr.rest());
            }
            assert!(Instant::now() < end, "{:?} does not listen", self.kind);
            thread::sleep(Duration::from_millis(2));
        }
        self.program = Some(program);
    }

    /// Ends it at once, with all streams.
    pub(crate) fn kill(&mut self) {
        let mut program = self.program.take().expect("it runs");
        // nginx and HAProxy end at SIGTERM without waiting; so does Caddy at a second one.
        program.signal("TERM");
        if self.kind == Kind::Caddy {
            drop(program);
        } else {
            program.wait();
        }
    }

    /// Ends it after its clients have left; returns everything that it has logged, to files and to its
    /// output.
    pub(crate) fn logs(mut self) -> String {
        let mut program = self.program.take().expect("it runs");
        program.signal("TERM");
        program.wait();
        let mut logs = program.stdout.rest() + &program.stderr.rest();
        for entry in std::fs::read_dir(&self.folder).expect("the folder can be read") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|extension| extension == "log") {
                logs += &std::fs::read_to_string(&path).expect("a log is text");
            }
        }
        logs
    }

    /// curl that trusts this proxy.
    pub(crate) fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--cacert"]).arg(self.certificate());
        command
    }

    /// URL of the hub through the proxy.
    pub(crate) fn url(&self) -> String {
        format!("{}{PATH}", self.origin())
    }

    pub(crate) fn origin(&self) -> String {
        let port = self.addr.rsplit(':').next().unwrap_or_default();
        format!("https://localhost:{port}")
    }

    /// File with the trusted certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("fullchain.pem")
    }

    /// Text of the example, adapted to this machine.
    fn adapted(&self, hub: &str) -> String {
        let text = read_example(self.kind.file());
        let folder = self.folder.display().to_string();
        let port = self.addr.rsplit(':').next().unwrap_or_default();
        let replacements: Vec<(&str, String)> = match self.kind {
            Kind::Nginx => vec![
                ("user www-data;\n", String::new()),
                ("/run/nginx.pid", format!("{folder}/nginx.pid")),
                ("/var/log/nginx/", format!("{folder}/")),
                (
                    "http {\n",
                    format!(
                        "http {{\nclient_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; \
                         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path \
                         {folder}/scgi;\n"
                    ),
                ),
                ("listen 443 ssl http2", format!("listen {} ssl http2", self.addr)),
                ("server_name hub.example.com", "server_name localhost".to_owned()),
                ("/etc/letsencrypt/live/hub.example.com", folder.clone()),
                ("/var/www/hub", format!("{folder}/www")),
                ("127.0.0.1:3000", hub.to_owned()),
            ],
            Kind::Caddy => vec![
                (
                    "{\n\t# A reload",
                    "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\t# A reload"
                        .to_owned(),
                ),
                (
                    "hub.example.com {\n",
                    format!(
                        "https://localhost:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem\n"
                    ),
                ),
                ("/var/www/hub", format!("{folder}/www")),
                ("/var/log/caddy/", format!("{folder}/")),
                ("127.0.0.1:3000", hub.to_owned()),
            ],
            Kind::HaProxy => vec![
                ("log /dev/log local0", "log stdout format raw local0".to_owned()),
                ("    user haproxy\n    group haproxy\n", String::new()),
                // The number of connections that the machine allows.
                ("maxconn 20000", "maxconn 200".to_owned()),
                ("bind :443", format!("bind {}", self.addr)),
                ("/etc/haproxy/hub.pem", format!("{folder}/hub.pem")),
                ("127.0.0.1:3000", hub.to_owned()),
            ],
        };
        replacements.iter().fold(text, |text, (old, new)| replace(&text, old, new))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.program.is_some() {
            // nginx's workers end with their master only at a signal, not when the master is killed.
            self.kill();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::HaProxy => "haproxy",
        }
    }

    /// File in `examples/hub`.
    fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::HaProxy => "haproxy.cfg",
        }
    }

    /// Whether it serves files too.
    pub(crate) fn has_pages(self) -> bool {
        self != Self::HaProxy
    }
}

fn replace(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "the example does not say {old:?} any more");
    text.replace(old, new)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
