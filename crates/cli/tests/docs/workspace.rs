//! A clean folder in which the blocks of a document run, as on the machine that the document assumes.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::generate_simple_self_signed;
use serde_json::json;

use crate::blocks::root;
use crate::hub::{KEY, PATH, folder, free_addr, read_example};

/// Folder, removed when dropped unless its thread panics.
pub(crate) struct Workspace {
    pub(crate) folder: PathBuf,
    /// Replacements of the addresses and paths in a document.
    replacements: Vec<(&'static str, String)>,
    /// Address of the hub.
    addr: String,
}

impl Workspace {
    /// Makes a folder with the files of an installed hub, and with `examples`.
    pub(crate) fn new() -> Self {
        let (folder, addr) = (folder("docs"), free_addr());
        let path = |below: &str| folder.join(below).display().to_string();
        let replacements = vec![
            ("/etc/ssekit", path("etc")),
            ("/etc/letsencrypt/live/hub.example.com", path("etc")),
            ("/var/lib/ssekit", path("store")),
            ("127.0.0.1:3000", addr.clone()),
            ("127.0.0.1:3001", free_addr()),
        ];
        let workspace = Self { folder, replacements, addr };
        workspace.fill();
        workspace
    }

    fn fill(&self) {
        symlink(root().join("examples"), self.folder.join("examples")).expect("a link can be made");
        std::fs::create_dir(self.folder.join("etc")).expect("a folder can be made");
        self.write("etc/key", KEY);
        let secret = URL_SAFE_NO_PAD.encode("a secret of these tests, long enough");
        let key_set = json!({ "keys": [{ "kty": "oct", "kid": "1", "k": secret }] });
        self.write("etc/keys.json", &key_set.to_string());
        let only_ours = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.folder.join("etc/key"), only_ours).expect("it is ours");
        self.write("etc/ssekit.toml", &self.adapt(&read_example("ssekit.toml")));
        let certificate = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        self.write("etc/fullchain.pem", &certificate.cert.pem());
        self.write("etc/privkey.pem", &certificate.signing_key.serialize_pem());
        // A refusal of the hub fails the command.
        self.write(".curlrc", "silent\nshow-error\nfail-with-body\n");
        self.write(".environment", "");
    }

    /// Writes a file below the folder, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Replaces the addresses and paths of a document by those of this folder.
    pub(crate) fn adapt(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Shell command with the variables that earlier blocks have exported.
    ///
    /// The built program is the first in PATH.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_ssekit")).parent().expect("a program is in a folder");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-euc", &format!(". ./.environment\n{script}")]).current_dir(&self.folder);
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.as_encoded_bytes().starts_with(b"SSEKIT_")) {
            command.env_remove(name);
        }
        command.env("PATH", path).env("CURL_HOME", &self.folder).stdin(Stdio::null());
        command.env("SSEKIT_ADDR", &self.addr).env("HUB", format!("http://{}{PATH}", self.addr));
        command
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
