//! Access rules: where the hub finds a token, and its answers without a valid one.

use http::header::WWW_AUTHENTICATE;
use serde_json::{Value, json};
use ssekit_mercure::{
    Action, Keys, Limits, Origins, Problem, ProblemKind, Publisher, RequiredClaims, explain, publication,
};

use crate::request::{
    HUB, OTHER_SECRET, SECRET, access, bearer, get, now, post, publisher, subscriber, token,
};

fn challenge(problem: &Problem) -> String {
    let response = problem.response();
    let challenge =
        response.headers().get(WWW_AUTHENTICATE).unwrap_or_else(|| panic!("{problem} has no challenge"));
    challenge.to_str().unwrap().to_owned()
}

fn check(problem: &Problem, status: u16, error: Option<&str>) {
    assert_eq!(problem.status(), status, "{problem}");
    let challenge = challenge(problem);
    match error {
        None => assert_eq!(challenge, "Bearer"),
        Some(error) => assert!(challenge.starts_with(&format!("Bearer error=\"{error}\"")), "{challenge}"),
    }
}

#[test]
fn line_50_publishing_needs_a_token_unless_the_hub_is_open() {
    let closed = ssekit_mercure::Access::default();
    check(&closed.publisher(&post(&[]), now()).unwrap_err(), 401, None);
    check(
        &closed.publisher(&post(&[("authorization", &bearer(&publisher(&["*"])))]), now()).unwrap_err(),
        401,
        Some("invalid_token"),
    );
    let mut open = closed;
    open.open = true;
    assert!(matches!(open.publisher(&post(&[]), now()), Ok(Publisher::Anyone)));
    // A token that nobody can verify does not lock out a client that needs none; a token that can be verified
    // counts.
    let stranger = bearer(&publisher(&["*"]));
    assert!(matches!(open.publisher(&post(&[("authorization", &stranger)]), now()), Ok(Publisher::Anyone)));
    open.publishers = Keys::read(OTHER_SECRET).unwrap();
    check(
        &open.publisher(&post(&[("authorization", &stranger)]), now()).unwrap_err(),
        401,
        Some("invalid_token"),
    );
}

#[test]
fn line_52_the_anonymous_subscribe_only_where_they_may() {
    let mut access = access();
    assert!(access.subscriber(&get(HUB, &[]), now()).unwrap().is_none());
    access.anonymous = false;
    check(&access.subscriber(&get(HUB, &[]), now()).unwrap_err(), 401, None);
    let token = bearer(&subscriber(&["a"]));
    let token = access.subscriber(&get(HUB, &[("authorization", &token)]), now()).unwrap().unwrap();
    assert!(token.may_subscribe("a"));
}

#[test]
fn line_56_publishers_and_subscribers_have_keys_of_their_own() {
    let access = access();
    let (publishes, subscribes) = (bearer(&publisher(&["*"])), bearer(&subscriber(&["*"])));
    assert!(access.publisher(&post(&[("authorization", &publishes)]), now()).is_ok());
    assert!(access.subscriber(&get(HUB, &[("authorization", &subscribes)]), now()).is_ok());
    check(
        &access.publisher(&post(&[("authorization", &subscribes)]), now()).unwrap_err(),
        401,
        Some("invalid_token"),
    );
    check(
        &access.subscriber(&get(HUB, &[("authorization", &publishes)]), now()).unwrap_err(),
        401,
        Some("invalid_token"),
    );
}

#[test]
fn line_58_a_hub_can_refuse_tokens_in_the_url() {
    let mut access = access();
    let target = format!("{HUB}?topic=a&authorization={}", subscriber(&["a"]));
    assert!(access.subscriber(&get(&target, &[]), now()).unwrap().unwrap().may_subscribe("a"));
    access.query_token = false;
    check(&access.subscriber(&get(&target, &[]), now()).unwrap_err(), 400, Some("invalid_request"));
    // With a token in the header, the hub ignores the URL.
    let header = bearer(&subscriber(&["b"]));
    assert!(
        access
            .subscriber(&get(&target, &[("authorization", &header)]), now())
            .unwrap()
            .unwrap()
            .may_subscribe("b")
    );
}

#[test]
fn line_60_the_header_beats_the_query_beats_the_cookie() {
    let access = access();
    let (of_header, of_query, of_cookie) =
        (bearer(&subscriber(&["header"])), subscriber(&["query"]), subscriber(&["cookie"]));
    let cookie = format!("other=1; mercureAuthorization={of_cookie}; mercureAuthorization=second");
    let query = format!("{HUB}?authorization={of_query}");
    for (target, headers, granted) in [
        (&*query, &[("authorization", &*of_header), ("cookie", &*cookie)][..], "header"),
        (&*query, &[("cookie", &*cookie)], "query"),
        (HUB, &[("cookie", &*cookie)], "cookie"),
        (HUB, &[("cookie", "a=b"), ("cookie", &*cookie)], "cookie"),
    ] {
        let token = access.subscriber(&get(target, headers), now()).unwrap().unwrap();
        assert!(token.may_subscribe(granted), "{granted}");
    }
    // A valid token of lower precedence does not replace an invalid one.
    let bad = [("authorization", "Bearer x"), ("cookie", &*cookie)];
    check(&access.subscriber(&get(&query, &bad), now()).unwrap_err(), 401, Some("invalid_token"));
}

#[test]
fn line_61_the_scheme_is_bearer_in_any_case() {
    let access = access();
    let token = subscriber(&["a"]);
    for value in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token} ")] {
        assert!(
            access.subscriber(&get(HUB, &[("authorization", &value)]), now()).unwrap().is_some(),
            "{value}"
        );
    }
}

#[test]
fn line_62_the_cookie_has_the_name_that_the_operator_chose() {
    let mut access = access();
    access.cookie = "__Secure-mercure_access_token".to_owned();
    let cookie = |name: &str| format!("{name}=\"{}\"", subscriber(&["a"]));
    let read =
        |name: &str| access.subscriber(&get(HUB, &[("cookie", &cookie(name))]), now()).unwrap().is_some();
    assert!(read("__Secure-mercure_access_token") && !read("mercureAuthorization"));
}

#[test]
fn line_64_a_missing_token_is_a_bare_401() {
    let problem = access().publisher(&post(&[]), now()).unwrap_err();
    check(&problem, 401, None);
    assert_eq!(problem.kind, ProblemKind::MissingToken);
    assert!(
        problem.detail.contains("Authorization: Bearer") && problem.detail.contains("mercureAuthorization"),
        "{problem}"
    );
}

#[test]
fn line_65_a_bad_token_is_401_with_its_reason() {
    let good = publisher(&["*"]);
    let cut = &good[..good.len() - 1];
    let expired = token(SECRET, &json!({"mercure": {"publish": ["*"]}, "exp": 1}));
    for (bad, words) in [
        ("x", "three parts"),
        (cut, "signature"),
        (&*expired, "“exp”"),
        (&*subscriber(&["*"]), "signature"),
        (&*format!("{good}="), "base64url"),
    ] {
        let problem = access().publisher(&post(&[("authorization", &format!("Bearer {bad}"))]), now());
        let problem = problem.unwrap_err();
        check(&problem, 401, Some("invalid_token"));
        assert!(
            problem.detail.contains(words) && problem.detail.contains("header Authorization"),
            "{problem}"
        );
    }
}

#[test]
fn line_66_a_good_token_that_does_not_grant_it_is_403() {
    let access = access();
    for claims in [
        json!({"mercure": {}}),
        json!({"mercure": {"publish": []}}),
        json!({"mercure": {"subscribe": ["*"]}}),
    ] {
        let problem = access
            .publisher(&post(&[("authorization", &bearer(&token(SECRET, &claims)))]), now())
            .unwrap_err();
        check(&problem, 403, Some("insufficient_scope"));
        assert!(problem.detail.contains("mercure.publish"), "{problem}");
    }
}

#[test]
fn line_67_a_token_presented_wrongly_is_400() {
    let access = access();
    let good = bearer(&publisher(&["*"]));
    let token = publisher(&["*"]);
    for headers in [
        &[("authorization", &*good), ("authorization", &*good)][..],
        &[("authorization", &*good), ("authorization", "Basic dXNlcjpwYXNz"), ("authorization", &*good)],
        // The value has no scheme. To ignore it would serve its sender as a client without a token.
        &[("authorization", &*token)],
    ] {
        check(&access.publisher(&post(headers), now()).unwrap_err(), 400, Some("invalid_request"));
    }
    check(
        &access.publisher(&post(&[("authorization", "Bearer \u{e9}")]), now()).unwrap_err(),
        401,
        Some("invalid_token"),
    );
    for query in ["authorization=x&authorization=x", "authorization=%FF"] {
        let problem = access.subscriber(&get(&format!("{HUB}?{query}"), &[]), now()).unwrap_err();
        assert_eq!(problem.status(), 400, "{query}");
    }
}

/// A proxy that asks for a password passes its header on, and the token comes in the cookie or the query.
#[test]
fn other_credentials_do_not_end_the_search_for_a_token() {
    let access = access();
    let [of_query, of_cookie, of_header] = ["query", "cookie", "header"].map(|name| subscriber(&[name]));
    let query = format!("authorization={of_query}");
    let cookie = format!("mercureAuthorization={of_cookie}");
    let header = bearer(&of_header);
    let nothing = [
        "Basic dXNlcjpwYXNz",
        "Digest username=\"a\"",
        "Negotiate",
        "token abc",
        "Bearer",
        "bearer ",
        "Bearer \t ",
        "",
    ];
    for value in nothing {
        let nothing = ("authorization", value);
        for (query, headers, granted) in [
            (&*query, &[nothing][..], Some("query")),
            ("", &[nothing, ("cookie", &*cookie)], Some("cookie")),
            ("authorization=", &[nothing, ("cookie", &*cookie)], Some("cookie")),
            ("authorization=&authorization=", &[nothing, ("cookie", &*cookie)], Some("cookie")),
            ("", &[nothing, ("cookie", &format!("mercureAuthorization=; {cookie}"))], Some("cookie")),
            ("", &[("cookie", &*format!("mercureAuthorization=\"\"; {cookie}"))], Some("cookie")),
            ("", &[nothing, ("authorization", &*header)], Some("header")),
            ("", &[("authorization", &*header), nothing], Some("header")),
            ("", &[nothing], None),
            ("", &[nothing, ("cookie", "mercureAuthorization=")], None),
            ("", &[("cookie", "mercureAuthorization=\"\"")], None),
            ("authorization=", &[], None),
        ] {
            let token = access.subscriber(&get(&format!("{HUB}?{query}"), headers), now());
            let token = token.unwrap_or_else(|problem| panic!("{query} {headers:?}: {problem}"));
            assert_eq!(
                token
                    .as_ref()
                    .map(|token| ["query", "cookie", "header"].map(|name| token.may_subscribe(name))),
                granted.map(|granted| ["query", "cookie", "header"].map(|name| name == granted)),
                "{query} {headers:?}"
            );
        }
        check(&access.publisher(&post(&[("authorization", value)]), now()).unwrap_err(), 401, None);
    }
    // Where the hub takes no token from the URL, an empty one counts as none.
    let mut closed = access;
    closed.query_token = false;
    assert!(closed.subscriber(&get(&format!("{HUB}?authorization="), &[]), now()).unwrap().is_none());
}

#[test]
fn line_79_every_topic_must_be_granted() {
    let access = access();
    let publisher = |selectors: &[&str]| {
        access.publisher(&post(&[("authorization", &bearer(&publisher(selectors)))]), now()).unwrap()
    };
    let form = |topics: &[&str]| {
        let body: Vec<_> = topics.iter().map(|topic| format!("topic={topic}")).collect();
        publication(None, body.join("&").as_bytes(), HUB, &Limits::default()).unwrap()
    };
    assert!(publisher(&["a", "b/{x}"]).check(&form(&["a", "b/1"])).is_ok());
    assert!(publisher(&["*"]).check(&form(&["a", "b/1"])).is_ok());
    assert!(Publisher::Anyone.check(&form(&["a"])).is_ok());
    let problem = publisher(&["a", "b/{x}"]).check(&form(&["a", "b/1", "c"])).unwrap_err();
    check(&problem, 403, Some("insufficient_scope"));
    assert!(problem.detail.contains("“c”") && problem.detail.contains("“mercure.publish”"), "{problem}");
}

#[test]
fn line_119_a_cookie_publishes_only_from_pages_that_may() {
    let mut access = access();
    access.publish_origins = Origins::parse(["https://example.com/", "http://localhost:8000"]).unwrap();
    let cookie = format!("mercureAuthorization={}", publisher(&["*"]));
    for (header, value, may) in [
        ("origin", "https://example.com", true),
        ("origin", "http://localhost:8000", true),
        ("origin", "https://example.com:8443", false),
        ("origin", "http://example.com", false),
        ("origin", "https://example.com.evil.example", false),
        ("origin", "null", false),
        ("origin", "", false),
        ("referer", "https://example.com/page?x#y", true),
        ("referer", "https://evil.example/https://example.com/", false),
        ("referer", "https://example.com@evil.example/", false),
        ("referer", "about:blank", false),
        ("referer", "\u{e9}", false),
        ("x-other", "https://example.com", false),
    ] {
        let result = access.publisher(&post(&[("cookie", &cookie), (header, value)]), now());
        assert_eq!(result.is_ok(), may, "{header}: {value}");
        if let Err(problem) = result {
            assert_eq!(problem.kind, ProblemKind::ForeignOrigin);
            assert_eq!(problem.status(), 403);
        }
    }
    // The header `Origin` counts, not `Referer`.
    let both =
        [("cookie", &*cookie), ("origin", "https://evil.example"), ("referer", "https://example.com/")];
    assert!(access.publisher(&post(&both), now()).is_err());
    // A page of another origin cannot set this header without permission, so the origin does not matter.
    let token = bearer(&publisher(&["*"]));
    assert!(
        access
            .publisher(&post(&[("authorization", &token), ("origin", "https://evil.example")]), now())
            .is_ok()
    );
    // Without a list, no cookie publishes.
    access.publish_origins = Origins::None;
    assert!(
        access.publisher(&post(&[("cookie", &cookie), ("origin", "https://example.com")]), now()).is_err()
    );
    // CORS decides about reading with a cookie.
    let cookie = format!("mercureAuthorization={}", subscriber(&["*"]));
    assert!(
        access
            .subscriber(&get(HUB, &[("cookie", &cookie), ("origin", "https://evil.example")]), now())
            .is_ok()
    );
}

/// If several services share a key of an issuer, the hub refuses tokens of the other services.
#[test]
fn a_required_audience_and_issuer_are_checked_and_named_in_the_answer() {
    let mercure = json!({ "publish": ["*"], "subscribe": ["*"] });
    let claims = |more: Value| {
        let mut claims = json!({ "mercure": mercure });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bearer(&token(SECRET, &claims))
    };
    let mut required = RequiredClaims::default();
    required.audience = vec!["https://hub.example".to_owned(), "hub".to_owned()];
    required.issuer = vec!["https://login.example".to_owned()];
    let iss = "https://login.example";
    for (more, wrong) in [
        (json!({ "aud": "hub", "iss": iss }), None),
        (json!({ "aud": "https://hub.example", "iss": iss }), None),
        (json!({ "aud": ["other", "hub"], "iss": iss }), None),
        (json!({ "iss": iss }), Some("no claim “aud”")),
        (json!({ "aud": null, "iss": iss }), Some("no claim “aud”")),
        (json!({ "aud": "other", "iss": iss }), Some("“other” in the claim “aud”")),
        (json!({ "aud": "HUB", "iss": iss }), Some("“aud”")),
        (json!({ "aud": "hub ", "iss": iss }), Some("“aud”")),
        (json!({ "aud": "", "iss": iss }), Some("“aud”")),
        (json!({ "aud": [], "iss": iss }), Some("“aud”")),
        (json!({ "aud": ["other"], "iss": iss }), Some("“aud”")),
        (json!({ "aud": [["hub"]], "iss": iss }), Some("“aud”")),
        (json!({ "aud": ["hub", 1], "iss": iss }), Some("“aud”")),
        (json!({ "aud": { "hub": "hub" }, "iss": iss }), Some("“aud”")),
        (json!({ "aud": 1, "iss": iss }), Some("“aud”")),
        (json!({ "aud": "hub" }), Some("no claim “iss”")),
        (
            json!({ "aud": "hub", "iss": "https://login.example/" }),
            Some("“https://login.example/” in the claim “iss”"),
        ),
        (json!({ "aud": "hub", "iss": [iss] }), Some("“iss”")),
        (json!({ "aud": iss, "iss": "hub" }), Some("“aud”")),
    ] {
        let held = claims(more.clone());
        let request = [("authorization", &*held)];
        // Without required values, the claims are not checked.
        let mut access = access();
        access.subscribers = access.publishers.clone();
        assert!(access.publisher(&post(&request), now()).is_ok(), "{more}");
        access.publishers_required = required.clone();
        assert!(access.subscriber(&get(HUB, &request), now()).is_ok(), "{more}: publishers alone");
        let published = access.publisher(&post(&request), now()).map(drop);
        access.publishers_required = RequiredClaims::default();
        access.subscribers_required = required.clone();
        assert!(access.publisher(&post(&request), now()).is_ok(), "{more}: subscribers alone");
        let subscribed = access.subscriber(&get(HUB, &request), now()).map(drop);
        assert_eq!(published, subscribed);
        match (published, wrong) {
            (Ok(()), None) => {}
            (Err(problem), Some(wrong)) => {
                check(&problem, 401, Some("invalid_token"));
                assert!(problem.detail.contains(wrong) && problem.detail.contains("(setting `"), "{problem}");
            }
            (found, wrong) => panic!("{more}: {found:?}, not {wrong:?}"),
        }
        let explained = explain(held.trim_start_matches("Bearer "), &access, Action::Subscribe, &[], now());
        assert_eq!(explained.allowed, wrong.is_none(), "{explained}");
        let found = explained.checks.iter().find(|check| check.name == "audience and issuer");
        assert_eq!(found.map(|check| check.passed), Some(wrong.is_none()), "{explained}");
    }
}

#[test]
fn a_problem_is_json_for_people_and_programs() {
    let problem = Problem::new(ProblemKind::InvalidToken, "the token “é” is \"bad\" \\ \u{1F980}");
    let response = problem.response();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    // A header can hold fewer characters than a detail.
    let wanted = "Bearer error=\"invalid_token\", error_description=\"the token '?' is 'bad' / ?\"";
    assert_eq!(response.headers()["www-authenticate"], wanted);
    let json: Value = serde_json::from_slice(response.body()).unwrap();
    let wanted = json!({
        "type": "urn:ssekit:problem:invalid-token", "title": "invalid token", "status": 401, "detail": problem.detail,
    });
    assert_eq!(json, wanted);
    let later = Problem::new(ProblemKind::Unavailable, "x")
        .retry_after(std::time::Duration::from_millis(1001))
        .response();
    assert_eq!((later.status().as_u16(), later.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    let method = Problem::new(ProblemKind::MethodNotAllowed("GET, POST"), "x").response();
    assert_eq!((method.status().as_u16(), method.headers()["allow"].to_str().unwrap()), (405, "GET, POST"));
}
