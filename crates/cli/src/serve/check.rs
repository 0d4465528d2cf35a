//! `ssekit serve --check`: finds reasons why the hub could not start or be used, without starting it.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use super::announce::reachable;
use super::listeners::{is_abandoned, reserve, unavailable};
use crate::config::{Config, Loaded, Problem, Store};
use crate::terminal::chain;

/// Checks the configuration, the files that it names, the folder of the store, and the addresses.
///
/// Files are created for a moment to find out whether a folder can be written. Key sets at URLs are not
/// fetched.
///
/// Returns remarks: sentences about conditions that do not prevent a start.
///
/// # Errors
/// All faults, one sentence each.
pub fn check(loaded: &Loaded) -> Result<Vec<String>, Vec<String>> {
    let config = &loaded.config;
    let mut remarks = Vec::new();
    let files = loaded.check().err().map(|problems| problems.0).unwrap_or_default();
    let mut problems: Vec<String> = files.iter().map(ToString::to_string).collect();
    problems.extend(loaded.unusable.iter().cloned());
    let mut refuse = |key: &str, what: String| {
        problems.push(Problem { origin: loaded.origin(key), what }.to_string());
    };
    if let Store::Folder(folder) = &config.store
        && let Err(what) = is_writable(folder)
    {
        refuse("store", what);
    }
    // A service manager that passes sockets has bound the addresses already.
    if std::env::var_os("LISTEN_FDS").is_none() {
        for addr in &config.addr {
            match is_available(addr, config) {
                Ok(remark) => remarks.extend(remark),
                Err(what) => refuse("addr", what),
            }
        }
        #[cfg(unix)]
        if let Some(path) = &config.unix {
            match is_available_path(path) {
                Ok(remark) => remarks.extend(remark),
                Err(what) => refuse("unix", what),
            }
        }
    }
    if problems.is_empty() { Ok(remarks) } else { Err(problems) }
}

/// Checks that files can be created in a folder, or in the folder in which it would be created.
fn is_writable(folder: &Path) -> Result<(), String> {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."));
    if !existing.is_dir() {
        return Err(format!("{} is not a folder", existing.display()));
    }
    let probe = existing.join(format!(".ssekit-check-{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).open(&probe);
    let written = written.and_then(|_| std::fs::remove_file(&probe));
    written.map_err(|error| match existing == folder {
        true => format!("cannot write to the folder {}: {error}", folder.display()),
        false => {
            format!("cannot create the folder {} in {}: {error}", folder.display(), existing.display())
        }
    })
}

/// Checks that nothing listens on the address, except perhaps the hub that this configuration is for.
fn is_available(addr: &str, config: &Config) -> Result<Option<String>, String> {
    let Err(error) = reserve(addr) else { return Ok(None) };
    let has_tls = config.tls.cert.is_some();
    if error.kind() != ErrorKind::AddrInUse || !has_tls && !is_hub(addr, &config.hub_path) {
        return Err(chain(unavailable(addr, error).as_ref()));
    }
    let what = if has_tls { "a program" } else { "a hub" };
    Ok(Some(format!("{what} already listens on {addr}: stop it before you start another one")))
}

/// Whether a hub answers at this address, over plain HTTP, to a subscription without a topic.
fn is_hub(addr: &str, path: &str) -> bool {
    let ask = |addr: SocketAddr| -> io::Result<bool> {
        let mut socket = TcpStream::connect_timeout(&reachable(addr), ANSWER_TIMEOUT)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.take(MAX_ANSWER).read_to_string(&mut answer)?;
        Ok(answer.contains("urn:ssekit:problem:"))
    };
    let resolved = addr.to_socket_addrs().ok().and_then(|mut found| found.next());
    resolved.is_some_and(|addr| ask(addr).unwrap_or(false))
}

/// Checks that a Unix socket can be created.
#[cfg(unix)]
fn is_available_path(path: &Path) -> Result<Option<String>, String> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !folder.is_dir() {
        return Err(format!("{} is not a folder", folder.display()));
    }
    is_writable(folder)?;
    if !path.exists() || is_abandoned(path) {
        return Ok(None);
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => {
            let path = path.display();
            Ok(Some(format!("a program already listens on {path}: stop it before you start another one")))
        }
        Err(_) => Err(format!("{} exists and is not a socket", path.display())),
    }
}

/// Time in which a program that listens on an address must answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of bytes of its answer that are read.
const MAX_ANSWER: u64 = 4096;
