//! Origins of pages and names of hosts: allowed ones, and others that resemble them.

use ssekit_mercure::{Access, AllowedOrigin, Origins, ProblemKind, cors};

use crate::request::{HUB, bearer, get, now, post, publisher};

/// A foreign site can point its own name at a developer's machine; to the browser, the hub is then a part of
/// that site.
#[test]
fn where_anyone_may_do_anything_only_names_of_this_machine_are_answered() {
    let own_names = vec!["box.lan:3000".to_owned()];
    let access = Access { open: true, own_names, ..Access::default() };
    for (host, ours) in [
        ("localhost:3000", true),
        ("127.0.0.1:3000", true),
        ("[::1]:3000", true),
        ("box.lan:3000", true),
        ("box.lan", true),
        ("BOX.LAN.:3000", true),
        ("demo.localhost", true),
        ("LOCALHOST.", true),
        ("127.0.0.1", true),
        ("[::ffff:127.0.0.1]:3000", true),
        ("192.168.0.7:3000", true),
        ("evil.example", false),
        ("evil.example:3000", false),
        ("127.0.0.1.evil.example", false),
        ("127.0.0.1:x", false),
        ("localhost:80@evil", false),
        ("localhost@evil.example:80", false),
        ("[::1]evil.example", false),
        ("127.0.0.1:3000:80", false),
        ("127.0.0.1:-1", false),
        ("127.0.0.1:123456", false),
        ("127.0.0.1@evil.example", false),
        ("127.0.0.1,evil.example", false),
        ("127.0.0.1 evil.example", false),
        ("127.0.0.1/evil.example", false),
        ("127.0.0.1#evil.example", false),
        ("127.0.0.1\\evil.example", false),
        ("127.1", false),
        ("2130706433", false),
        ("0x7f000001", false),
        ("localhost..", false),
        ("localhost%2eevil.example", false),
        ("localhost.evil.example", false),
        ("evillocalhost", false),
        ("box.lan.evil.example", false),
        ("evil-box.lan", false),
        ("::1", false),
        ("[::1", false),
        ("[localhost]", false),
        ("[fe80::1%25eth0]", false),
        ("l\u{f6}calhost", false),
        ("null", false),
        (":3000", false),
        (".", false),
        ("", false),
    ] {
        let asked = [("host", host)];
        for refused in
            [access.publisher(&post(&asked), now()).err(), access.subscriber(&get(HUB, &asked), now()).err()]
        {
            assert_eq!(
                refused.map(|problem| problem.kind),
                (!ours).then_some(ProblemKind::WrongHost),
                "{host}"
            );
        }
    }
}

/// A page on the web that a developer visits can send a form to a hub on the developer's machine.
#[test]
fn where_anyone_may_publish_foreign_pages_may_not() {
    let access = Access {
        open: true,
        own_names: vec!["hub.lan:3000".to_owned()],
        publish_origins: Origins::parse(["https://dev.example"]).unwrap(),
        ..Access::default()
    };
    let token = bearer(&publisher(&["*"]));
    for (origin, may) in [
        (None, true),
        (Some("http://localhost:5173"), true),
        (Some("http://127.0.0.1:8000"), true),
        (Some("http://[::1]:8000"), true),
        (Some("http://hub.lan:3000"), true),
        (Some("https://dev.example"), true),
        (Some("http://localhost"), true),
        (Some("https://localhost:8443"), true),
        (Some("http://app.localhost:5173"), true),
        (Some("http://127.8.9.10:1"), true),
        (Some("http://hub.lan:3001"), false),
        (Some("http://hub.lan"), false),
        (Some("http://hub.lan:3000/"), false),
        (Some("http://a.hub.lan:3000"), false),
        (Some("https://dev.example:443"), false),
        (Some("https://dev.example."), false),
        (Some("https://a.dev.example"), false),
        (Some("http://dev.example"), false),
        (Some("https://evil.example"), false),
        (Some("https://localhost.evil.example"), false),
        (Some("https://evillocalhost"), false),
        (Some("https://127.0.0.1.evil.example"), false),
        (Some("http://localhost:80@evil.example"), false),
        (Some("http://evil.example@localhost"), false),
        (Some("http://evil:example@127.0.0.1:8000"), false),
        (Some("http://localhost/"), false),
        (Some("http://localhost/evil.example"), false),
        (Some("http://localhost?evil.example"), false),
        (Some("http://localhost#evil.example"), false),
        (Some("http://evil.example#localhost"), false),
        (Some("http:\\\\localhost"), false),
        (Some("http:localhost"), false),
        (Some(" http://localhost"), false),
        (Some("http://localhost, https://evil.example"), false),
        (Some("http://localhost:65536"), false),
        (Some("http://LOCALHOST"), false),
        (Some("http://127.1"), false),
        (Some("http://2130706433"), false),
        (Some("http://192.168.0.7"), false),
        (Some("http://[::2]"), false),
        (Some("http://[::ffff:7f00:1]"), false),
        (Some("http://l\u{f6}calhost"), false),
        (Some("localhost"), false),
        (Some("about:blank"), false),
        (Some("file://"), false),
        (Some("null"), false),
        (Some("*"), false),
        (Some(""), false),
    ] {
        let mut headers = vec![("host", "hub.lan:3000")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        assert_eq!(access.publisher(&post(&headers), now()).is_ok(), may, "{origin:?}");
        headers.push(("authorization", &token));
        assert_eq!(
            access.publisher(&post(&headers), now()).is_ok(),
            may,
            "{origin:?} with a token that counts for nothing"
        );
    }
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    assert_eq!(Origins::parse([]).unwrap(), Origins::None);
    assert_eq!(Origins::parse(["https://a", "*"]).unwrap(), Origins::Any);
    for (text, normal) in [
        ("HTTPS://A.example:443/", "https://a.example"),
        ("http://a.example:8080", "http://a.example:8080"),
        ("http://[0:0::1]:80", "http://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://*.A.example:8443", "https://*.a.example:8443"),
        ("http://*.localhost:*", "http://*.localhost:*"),
        ("http://[::1]:*/", "http://[::1]:*"),
    ] {
        assert_eq!(text.parse::<AllowedOrigin>().map(|origin| origin.to_string()).as_deref(), Ok(normal));
    }
    for text in [
        "",
        "a.example",
        "https://a/path",
        "https://a//",
        "https:///a.example",
        "https://a/?q",
        "https://a?",
        "https://a#",
        "data:x",
        "null",
        "https://",
        "ftp://a.example",
        "ws://a.example",
        "file:///a",
        "https://user@a.example",
        "https://user:x@a.example",
        "https:\\\\a.example",
        "https://a.example\\",
        "https://a\n.example",
        " https://a.example",
        "https://a.example ",
        "https://a,b.example",
        "https://a.example:",
        "https://a.example:65536",
        "https://a.example:x",
        "https://%61.example",
        "https://a..example",
        "**",
        "*://a.example",
        "https://*",
        "https://*.",
        "https://*.example",
        "https://*.com",
        "https://*:*",
        "https://*.*.a.example",
        "https://a.*.example",
        "https://a*.example.com",
        "https://*a.example.com",
        "https://a.example.*",
        "https://*.127.0.0.1",
        "https://*.[::1]",
        "https://a.example:*:*",
        "https://a.example:443:*",
        "https://a.example:4*",
        "https://a.example:**",
        "http*://a.example",
    ] {
        assert!(Origins::parse([text]).is_err(), "{text}");
    }
}

/// `*` stands for one label of the host, or for any port, and for nothing else.
#[test]
fn patterns_of_origins_admit_one_label_or_any_port() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "https://*.app.example",
            &["https://a.app.example", "https://xn--bcher-kva.app.example", "https://a_b-1.app.example"],
            &[
                "https://app.example",
                "https://.app.example",
                "https://b.a.app.example",
                "https://aapp.example",
                "http://a.app.example",
                "https://a.app.example:8443",
                "https://a.app.example:443",
                "https://a.app.example.evil.example",
                "https://evil.example/.app.example",
                "https://evil.example#.app.example",
                "https://evil.example:80.app.example",
                "https://evil@a.app.example",
                "https://*.app.example",
                "https://A.app.example",
                "https://a.app.example/",
                "https://a.app.example.",
                "https://a%2e.app.example",
                "https://\u{e9}.app.example",
                "null",
                "",
                "*",
            ],
        ),
        (
            "http://localhost:*",
            &["http://localhost", "http://localhost:1", "http://localhost:5173", "http://localhost:65535"],
            &[
                "https://localhost:5173",
                "http://localhost:",
                "http://localhost:65536",
                "http://localhost:x",
                "http://localhost:*",
                "http://localhost:080",
                "http://localhost:+1",
                "http://localhost:80@evil.example",
                "http://localhost.evil.example:80",
                "http://a.localhost:80",
                "http://localhost:80:80",
                "http://evil.example:localhost",
            ],
        ),
        (
            "https://*.app.example:*",
            &["https://a.app.example", "https://a.app.example:1"],
            &["https://app.example:1", "https://a.b.app.example:1"],
        ),
        (
            "http://[::1]:*",
            &["http://[::1]", "http://[::1]:3000"],
            &["http://[::2]:3000", "http://[::1]x", "http://::1:3000"],
        ),
        (
            "https://app.example",
            &["https://app.example"],
            &[
                "https://app.example:443",
                "https://a.app.example",
                "https://app.example/",
                "https://APP.example",
                "http://app.example",
                "HTTPS://app.example",
                "https://app.example.",
                "https://app.example:8443",
                "https://app.example:",
                "https://app.example.evil.example",
                "https://evilapp.example",
                "https://app.example@evil.example",
                "https://evil@app.example",
                "https://app.example, https://evil.example",
                "https://app.example evil",
                "https:app.example",
                "https:/app.example",
                "//app.example",
                "app.example",
                " https://app.example",
                "https://app.example\t",
                "https://app%2eexample",
                "https://app\u{3002}example",
                "null",
                "",
                "*",
            ],
        ),
        (
            "https://app.example:443",
            &["https://app.example"],
            &["https://app.example:443", "https://app.example:80"],
        ),
        (
            "https://app.example:8443",
            &["https://app.example:8443"],
            &[
                "https://app.example",
                "https://app.example:443",
                "https://app.example:08443",
                "https://app.example:84430",
                "https://app.example:8443:8443",
                "http://app.example:8443",
            ],
        ),
        (
            "https://b\u{fc}cher.example",
            &["https://xn--bcher-kva.example"],
            &["https://b\u{fc}cher.example", "https://bucher.example", "https://XN--BCHER-KVA.example"],
        ),
        (
            "https://*.b\u{fc}cher.example",
            &["https://a.xn--bcher-kva.example"],
            &["https://xn--bcher-kva.example", "https://a.b\u{fc}cher.example"],
        ),
        (
            "http://[2001:db8:0:0::1]:8080",
            &["http://[2001:db8::1]:8080"],
            &[
                "http://[2001:db8::1]",
                "http://[2001:db8::11]:8080",
                "http://[2001:db8:0:0::1]:8080",
                "http://[2001:DB8::1]:8080",
                "http://2001:db8::1:8080",
                "http://[2001:db8::1].evil.example:8080",
            ],
        ),
        (
            "http://127.0.0.1:*",
            &["http://127.0.0.1", "http://127.0.0.1:3000"],
            &["http://127.1:3000", "http://127.0.0.1.evil.example", "http://127.0.0.1:3000@evil.example"],
        ),
    ];
    for &(pattern, admitted, others) in table {
        let origins = Origins::parse(["https://other.example", pattern]).unwrap();
        for origin in admitted {
            assert!(origins.has(origin), "{pattern} admits {origin}");
        }
        for origin in others {
            assert!(!origins.has(origin), "{pattern} does not admit {origin}");
        }
        // The headers of an answer agree, for every value that a header can have.
        let has_header = |origin: &str| {
            let mut answer = http::HeaderMap::new();
            cors::allow_reading(&get(HUB, &[("origin", origin)]), &origins, &mut answer);
            answer.contains_key("access-control-allow-origin")
        };
        assert!(admitted.iter().all(|origin| has_header(origin)), "{pattern}");
        assert!(!others.iter().any(|origin| has_header(origin)), "{pattern}");
    }
}
