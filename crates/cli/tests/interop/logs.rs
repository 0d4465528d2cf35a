//! No log holds a token: neither the logs of the proxies, configured as in the examples, nor the hub's.

use std::process::Command;

use crate::hub::{Hub, NEWS, free_addr, publisher_token, read_example, topic};
use crate::program::run;
use crate::proxy::{ALL, Kind, Proxy};

#[test]
fn the_example_proxies_log_no_token_whether_the_hub_runs_or_not() {
    for kind in ALL {
        let (hub, token) = (Hub::start(&["--query-token=false"]), publisher_token());
        for addr in [hub.addr.to_string(), free_addr()] {
            let proxy = Proxy::start(kind, &addr);
            let in_query = format!("authorization={token}");
            // The hub decodes names, so that these have the same meaning.
            let encoded = format!("%61uthorization={token}");
            let more = format!("auth%6Frizatio%6e={token}");
            let whole = "authorization".bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let whole = format!("{whole}={token}");
            let header = format!("authorization: Bearer {token}");
            let cookie = format!("cookie: mercureAuthorization={token}");
            let stream = topic(&proxy.url(), NEWS);
            // The end of the stream is not awaited: its head is enough.
            for arguments in [
                vec!["--head", &*stream, "--header", &header],
                vec!["--head", &*stream, "--header", &cookie],
                vec!["--data", "topic=x&data=x", &*proxy.url(), "--header", &header],
                vec![&*format!("{stream}&{in_query}")],
                vec![&*format!("{}?{in_query}&topic=x", proxy.url())],
                vec!["--data", "topic=x&data=x", &*format!("{}?{in_query}", proxy.url())],
                vec![&*format!("{}/subscriptions?{in_query}", proxy.url())],
                vec![&*format!("{stream}&{encoded}")],
                vec![&*format!("{}?{more}&topic=x", proxy.url())],
                vec![&*format!("{}?authorization=&{whole}", proxy.url())],
                vec!["--data", "topic=x&data=x", &*format!("{}?{encoded}", proxy.url())],
            ] {
                let output = run(proxy.curl().args(["--include"]).args(&arguments));
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let is_in_query = arguments
                    .iter()
                    .any(|argument| argument.contains(&format!("={token}")) && argument.contains('?'));
                let is_refused = text.lines().next().is_some_and(|line| line.contains(" 400"));
                assert_eq!(is_refused, is_in_query, "{kind:?} {arguments:?}: {text}");
                assert_eq!(text.contains("not in the URL"), is_in_query, "{kind:?} {arguments:?}: {text}");
            }
            // nginx names it in its error log, too, which it writes while the hub does not run.
            if kind != Kind::Nginx || addr == hub.addr.to_string() {
                let referer = format!("{}/?token={token}", proxy.origin());
                let output = run(proxy.curl().args(["--head", &*stream, "--referer", &referer]));
                assert!(output.status.success(), "{kind:?}: {output:?}");
            }
            let logs = proxy.logs();
            assert!(logs.matches("/.well-known/mercure").count() >= 11, "{kind:?} logs no requests: {logs}");
            assert!(!logs.contains(&token), "{kind:?}: {logs}");
        }
    }
}

#[test]
fn the_example_configuration_of_the_hub_accepts_no_token_in_the_url() {
    let text = read_example("ssekit.toml");
    assert!(text.lines().any(|line| line == "query_token = false"), "{text}");
}

#[test]
fn the_hub_logs_no_token_even_if_it_logs_everything() {
    let (mut hub, token) = (Hub::start(&["--log-level", "trace"]), publisher_token());
    let header = format!("authorization: Bearer {token}");
    let cookie = format!("cookie: mercureAuthorization={token}");
    let stream = format!("{}&authorization={token}", topic(&hub.url(), NEWS));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for arguments in [
            vec!["--head", &*stream],
            vec!["--head", &*topic(&hub.url(), NEWS), "--header", &cookie],
            vec!["--data", "topic=x&data=x", &*hub.url(), "--header", &header],
            vec!["--data", "topic=x&data=x", &*format!("{}?authorization={token}", hub.url())],
            // Refused, with the reason.
            vec!["--head", &*format!("{stream}x")],
        ] {
            let output =
                run(Command::new("curl").args(["--silent", "--show-error", version]).args(&arguments));
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
    hub.program.signal("TERM");
    hub.program.wait();
    let log = hub.program.stderr.rest();
    assert!(log.contains("TRACE"), "nothing is logged: {log}");
    let signature = token.rsplit('.').next().expect("a token has three parts");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(signature)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}
