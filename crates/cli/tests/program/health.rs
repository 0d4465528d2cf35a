//! `ssekit health`: the answer as an exit code, over each transport of the hub.

use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use crate::config::Folder;
use crate::program::{Program, run, ssekit};
use crate::scripted::{Scripted, answer};

fn hub(flags: &[&str]) -> (Program, SocketAddr) {
    let usual = ["serve", "--dev", "--store", "memory", "--addr", "127.0.0.1:0"];
    let program = Program::start(ssekit().args(usual).args(flags));
    let line = program.stdout.find("the hub");
    let addr = line.split("://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
    (program, addr.unwrap_or_else(|| panic!("no address in {line:?}")))
}

/// An address at which nothing listens.
fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn health(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    run(ssekit().arg("health").args(arguments).envs(variables.iter().copied()))
}

/// Asserts that a check succeeds and prints this line.
fn is_ready(arguments: &[&str], variables: &[(&str, &str)], line: &str) {
    let output = health(arguments, variables);
    assert_eq!(output.status.code(), Some(0), "{arguments:?} {variables:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{line}\n"));
}

/// Asserts that a check fails with this exit code and one line of this text.
fn fails(arguments: &[&str], variables: &[(&str, &str)], code: i32, text: &str) {
    let output = health(arguments, variables);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?} {variables:?}: {errors}");
    assert!(errors.contains(text) && errors.lines().count() == 1, "{text:?} is not all of {errors:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn the_configured_address_is_asked_wherever_the_configuration_is() {
    let (_hub, addr) = hub(&[]);
    let line = format!("http://{addr}/readyz: 200 OK");
    is_ready(&[], &[("SSEKIT_ADDR", &addr.to_string())], &line);
    // An address of all interfaces is asked at loopback.
    let everywhere = format!("0.0.0.0:{}", addr.port());
    is_ready(&[], &[("SSEKIT_ADDR", &everywhere)], &line);
    let folder = Folder::new("health-config");
    let file = folder.file("ssekit.toml", &format!("addr = [\"{addr}\", \"127.0.0.1:1\"]\n"));
    is_ready(&["--config", &file], &[], &line);
    is_ready(&[], &[("SSEKIT_CONFIG", &file)], &line);
    // A setting that only `serve` checks against the others does not matter here.
    is_ready(&[], &[("SSEKIT_CONFIG", &file), ("SSEKIT_TLS_KEY", "/nowhere")], &line);
}

#[test]
fn a_url_is_asked_for_its_path_or_for_readyz() {
    let (_hub, addr) = hub(&[]);
    for url in [format!("{addr}"), format!("http://{addr}"), format!("http://{addr}/readyz")] {
        is_ready(&[&url], &[], &format!("http://{addr}/readyz: 200 OK"));
    }
    is_ready(&[&format!("{addr}/healthz")], &[], &format!("http://{addr}/healthz: 200 OK"));
    fails(&[&format!("{addr}/nothing")], &[], 22, "/nothing is not ready: 404 Not Found: ");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_asked_by_name_and_where_it_is_the_only_address() {
    let folder = Folder::new("health-unix");
    let socket = folder.path("socket");
    let (_hub, _) = hub(&["--unix", &socket]);
    is_ready(&[&format!("unix:{socket}")], &[], &format!("unix:{socket}: 200 OK"));
    let file = folder.file("ssekit.toml", &format!("addr = []\nunix = \"{socket}\"\n"));
    is_ready(&["--config", &file], &[], &format!("unix:{socket}: 200 OK"));
    fails(&["unix:/nowhere/socket"], &[], 7, "cannot get a response from unix:/nowhere/socket: No such file");
}

#[test]
fn a_configured_certificate_need_not_name_the_address_but_that_of_a_url_must_be_trusted() {
    let folder = Folder::new("health-tls");
    let pair = rcgen::generate_simple_self_signed(vec!["hub.example.com".to_owned()]).expect("a certificate");
    let certificate = folder.file("cert.pem", &pair.cert.pem());
    let key = folder.file("key.pem", &pair.signing_key.serialize_pem());
    let (_hub, addr) = hub(&["--tls-cert", &certificate, "--tls-key", &key]);
    let name = addr.to_string();
    let variables: [(&str, &str); 3] =
        [("SSEKIT_ADDR", &name), ("SSEKIT_TLS_CERT", &certificate), ("SSEKIT_TLS_KEY", &key)];
    is_ready(&[], &variables, &format!("https://{addr}/readyz: 200 OK"));
    fails(
        &[&format!("https://{addr}")],
        &[],
        60,
        &format!("cannot get a response from https://{addr}/readyz: "),
    );
    // The authority is trusted now, and the name is still another.
    fails(&[&format!("https://{addr}"), "--ca", &certificate], &[], 60, "not valid for name");

    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate = folder.file("local.pem", &pair.cert.pem());
    let key = folder.file("local-key.pem", &pair.signing_key.serialize_pem());
    let (_hub, addr) = hub(&["--tls-cert", &certificate, "--tls-key", &key]);
    let url = format!("https://localhost:{}", addr.port());
    is_ready(&[&url, "--ca", &certificate], &[], &format!("{url}/readyz: 200 OK"));
}

#[test]
fn each_reason_for_a_failure_has_an_exit_code_of_its_own() {
    let problem = r#"{"title":"Unavailable","detail":"the hub is shutting down"}"#;
    let refusing = Scripted::new([answer("503 Service Unavailable", "", problem)]);
    let addr = refusing.addr.to_string();
    let expected =
        format!("{addr}/readyz is not ready: 503 Service Unavailable: Unavailable: the hub is shutting down");
    fails(&[], &[("SSEKIT_ADDR", &addr)], 22, &expected);
    let refusing = Scripted::new([answer("503 Service Unavailable", "", problem)]);
    fails(&[&refusing.url("/")], &[], 22, "the hub is shutting down");

    let nobody = free_addr().to_string();
    fails(
        &[&nobody],
        &[],
        7,
        &format!("cannot get a response from http://{nobody}/readyz: Connection refused"),
    );
    fails(&[], &[("SSEKIT_ADDR", &nobody)], 7, "Connection refused");
    let other = Scripted::new(["SSH-2.0-OpenSSH\r\n".to_owned()]);
    fails(&[], &[("SSEKIT_ADDR", &other.addr.to_string())], 7, "the response is not HTTP");

    // It accepts, and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = silent.local_addr().expect("an address").to_string();
    let expected = format!("http://{addr}/readyz did not respond within 0.2 s");
    fails(&[&addr, "--timeout", "200ms"], &[], 28, &expected);
    fails(&["--timeout", "200ms"], &[("SSEKIT_ADDR", &addr)], 28, &expected);
}

#[test]
fn an_unusable_target_is_a_mistake_of_usage_that_is_explained() {
    let folder = Folder::new("health-usage");
    fails(&["ftp://localhost"], &[], 2, "\"ftp://localhost\" is not an http:// or https:// URL");
    fails(&["--config", "/nowhere"], &[], 2, "/nowhere:1: cannot read the configuration file: No such file");
    let port = [("SSEKIT_ADDR", "127.0.0.1:0")];
    fails(
        &[],
        &port,
        2,
        "the hub chooses the port of 127.0.0.1:0 when it starts: give the URL that it prints",
    );
    let file = folder.file("empty.toml", "addr = []\n");
    fails(&["--config", &file], &[], 2, "the configuration has neither addr nor unix: give a URL");
    let file = folder.file("wrong.toml", "adr = []\nlog = { level = \"loud\" }\n");
    fails(&["--config", &file], &[], 2, "wrong.toml:1: ");
    fails(&["https://localhost", "--ca", "/nowhere"], &[], 2, "cannot read /nowhere: No such file");
}
