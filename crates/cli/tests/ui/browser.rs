//! The hub's page, in a browser.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chromium::{Chromium, DESKTOP, Look, Page};
use crate::hub::{HUB, get, locked, open, publish, serve, start, token};

#[test]
fn updates_published_on_the_page_appear_in_watch_and_history() {
    let (server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    browser.wait_for(&page, "document.querySelector('#who').textContent.includes('--dev')");

    set(&mut browser, &page, "selectors", "https://example.com/books/{id}\nhttps://example.com/evil");
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, "document.querySelector('#watch-state').dataset.state === 'open'");

    // With every field, and with text that must stay text.
    let evil = "<img src=x onerror=alert(1)> & \"quotes\"\nid: 666";
    set(&mut browser, &page, "topics", "https://example.com/evil\nhttps://example.com/<b>");
    set(&mut browser, &page, "data", evil);
    set(&mut browser, &page, "publish-type", "evil");
    set(&mut browser, &page, "publish-id", "own-id");
    set(&mut browser, &page, "publish-retry", "1500");
    click(&mut browser, &page, "#private");
    click(&mut browser, &page, "#send");
    browser.wait_for(&page, "document.querySelector('#published-id')?.textContent === 'own-id'");
    browser.wait_for(&page, &format!("{EVENTS}.join() === {:?}", ["evil", "own-id", evil].join("|")));

    // It is in the history, where a click opens it.
    click(&mut browser, &page, "#history-form [type=submit]");
    browser.wait_for(&page, "document.querySelector('#history [data-id=\"own-id\"]')");
    click(&mut browser, &page, "#history [data-id=\"own-id\"] summary");
    let shown =
        browser.evaluate(&page, "document.querySelector('#history [data-id=\"own-id\"] .rest').innerText");
    let shown = shown.as_str().expect("text");
    assert!(shown.contains(evil) && shown.contains("https://example.com/<b>"), "{shown:?}");
    let marks =
        browser.evaluate(&page, "document.querySelector('#history [data-id=\"own-id\"] .marks').textContent");
    assert_eq!(marks, "privateevil");

    // The page shows a refusal in the words of the hub.
    set(&mut browser, &page, "topics", "/.well-known/mercure/subscriptions");
    click(&mut browser, &page, "#send");
    browser.wait_for(
        &page,
        "document.querySelector('#publish-said').dataset.kind === 'bad'
            && document.querySelector('#publish-said').textContent.includes('only the hub publishes to')",
    );
    assert_refusals(&mut browser, 1);
}

#[test]
fn subscription_events_are_in_the_history_on_request() {
    let (server, mut browser) = (open(), Chromium::start());
    publish(&server, "", &[json!({ "topic": "https://example.com/books/1", "data": "a book" })]);
    let _subscriber = get(&server, &format!("{HUB}?topic=https://example.com/books/1"), "");
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, &contains_text("history", "a book"));
    // The event is in the history before the box is checked.
    let deadline = Instant::now() + Duration::from_secs(60);
    while !get(&server, "/hub/history?topic=*", "").text().contains("/subscriptions/") {
        assert!(Instant::now() < deadline, "the subscription is not announced");
    }
    click(&mut browser, &page, "#history-form [type=submit]");
    browser.wait_for(&page, &contains_text("history-count", "1 update"));
    assert_eq!(browser.evaluate(&page, &contains_text("history", "subscribed to")), false);
    click(&mut browser, &page, "#history-subscriptions");
    browser.wait_for(&page, &contains_text("history", "subscribed to https://example.com/books/1"));
    browser.wait_for(&page, &contains_text("history", "a book"));
    if let Some(path) = std::env::var_os("SSEKIT_TEST_SCREENSHOT") {
        browser.evaluate(&page, "document.querySelector('#past').scrollIntoView()");
        std::fs::write(path, browser.screenshot(&page)).expect("a file");
    }
    click(&mut browser, &page, "#history-subscriptions");
    browser.wait_for(&page, &format!("!{}", contains_text("history", "subscribed to")));
    assert_eq!(browser.evaluate(&page, &contains_text("history", "a book")), true);
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn the_list_of_subscriptions_follows_their_beginnings_and_ends() {
    let (server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    let of = |topic: &str, count: u32| {
        format!("document.querySelector('#active [data-topic={topic:?}] b')?.textContent === '{count}'")
    };
    let topic = "https://example.com/books/{id}";
    browser.wait_for(&page, "document.querySelector('#active-count').textContent.includes('subscription')");
    let first = get(&server, &format!("{HUB}?topic=https://example.com/books/%7Bid%7D"), "");
    browser.wait_for(&page, &of(topic, 1));
    let second = get(&server, &format!("{HUB}?topic=https://example.com/books/%7Bid%7D&topic=other"), "");
    browser.wait_for(&page, &of(topic, 2));
    browser.wait_for(&page, &of("other", 1));
    set(&mut browser, &page, "active-filter", "BOOKS");
    browser.wait_for(&page, "document.querySelectorAll('#active > li').length === 1");
    drop((first, second));
    // The hub notices that a client has left only when it writes.
    browser.wait_for(&page, &format!("!document.querySelector('#active [data-topic={topic:?}]')"));
    // One click on a topic in the list watches it.
    set(&mut browser, &page, "active-filter", "");
    let third = get(&server, &format!("{HUB}?topic=clicked"), "");
    browser.wait_for(&page, &of("clicked", 1));
    browser.evaluate(&page, "document.querySelector('#active [data-topic=clicked] > button').click()");
    browser.wait_for(&page, &of("clicked", 2));
    drop(third);
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn more_subscriptions_than_one_answer_has_are_listed() {
    let (server, mut browser) = (open(), Chromium::start());
    let streams: Vec<_> = (0..101)
        .map(|of| {
            let topics: Vec<_> = (0..100).map(|number| format!("topic=t/{of}/{number}")).collect();
            get(&server, &format!("{HUB}?{}", topics.join("&")), "")
        })
        .collect();
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    // Including the page's own.
    browser.wait_for(&page, &contains_text("active-count", "10,101 subscriptions of 102 subscribers"));
    drop(streams);
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn the_charts_are_drawn_from_the_hubs_figures() {
    let (server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    publish(
        &server,
        "",
        &[json!({ "topic": "https://example.com/a", "data": "1" }), json!({ "topic": "b", "data": "2" })],
    );
    browser
        .wait_for(&page, "document.querySelector('#published-detail').textContent === '2 updates in total'");
    browser.wait_for(
        &page,
        "/^[\\d.]+ (µs|ms|s)$/.test(document.querySelector('#p99-now').textContent) || null",
    );
    for chart in ["published", "delivered", "subscribers", "latency"] {
        browser.wait_for(&page, &format!("document.querySelector('#{chart}').dataset.samples >= 3"));
    }
    browser.wait_for(
        &page,
        "(() => {
            const canvas = document.querySelector('#subscribers');
            const probe = document.createElement('canvas').getContext('2d');
            probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--subscribers');
            probe.fillRect(0, 0, 1, 1);
            const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4) {
                const near =
                    Math.abs(data[at] - red) + Math.abs(data[at + 1] - green) + Math.abs(data[at + 2] - blue);
                if (near < 24 && data[at + 3] > 200) count += 1;
            }
            return count > 10;
        })()",
    );
    let ends =
        browser.evaluate(&page, "[...document.querySelectorAll('#ends span')].map((end) => end.textContent)");
    assert_eq!(ends, json!(["left", "expired", "stalled", "overtaken", "failed", "shutdown"]));
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn without_a_token_the_page_names_the_missing_grant_and_a_token_unlocks_it() {
    let (server, mut browser) = (locked(), Chromium::start());
    let topic = "https://example.com/books/1";
    let publisher = token(&["*"], &[]);
    publish(&server, &publisher, &[json!({ "topic": topic, "data": "secret", "private": true })]);
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(
        &page,
        &contains_text("notice", "The metrics need a token that grants /.well-known/mercure/subscriptions"),
    );
    let row = |id: &str| format!("document.querySelector('#{id}').getBoundingClientRect().top");
    let beside = browser.evaluate(&page, &format!("{} === {}", row("subscriptions"), row("explaining")));
    assert_eq!(beside, true, "there is a hole where the figures would be");
    browser.wait_for(&page, &contains_text("active-words", "whose claim “mercure.subscribe” matches"));
    browser.wait_for(&page, &contains_text("history-words", "private updates, which need a token"));
    click(&mut browser, &page, "#send");
    browser.wait_for(&page, &contains_text("publish-said", "Not published. Publishing needs a token"));

    // An insufficient token, then a sufficient one.
    give(&mut browser, &page, &token(&[], &["https://example.com/other"]));
    browser.wait_for(&page, &contains_text("notice", "does not grant the topic"));
    give(&mut browser, &page, &token(&["*"], &["*"]));
    browser.wait_for(&page, LIVE);
    browser.wait_for(&page, "document.querySelector('#notice').hidden");
    browser.wait_for(&page, &contains_text("history", "secret"));
    browser.wait_for(&page, &contains_text("active-count", "1 subscription of 1 subscriber"));
    click(&mut browser, &page, "#send");
    browser.wait_for(&page, &contains_text("publish-said", "Published: urn:ssekit:"));

    // With and without the token, from the start of the history.
    browser.evaluate(&page, "document.querySelector('#watch-from').value = 'earliest'; 0");
    set(&mut browser, &page, "selectors", topic);
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, &contains_text("events", "secret"));
    click(&mut browser, &page, "#watch-go");
    click(&mut browser, &page, "#watch-clear");
    click(&mut browser, &page, "#watch-token");
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, &contains_text("events", "On the Origin of Events"));
    let events = browser.evaluate(&page, "document.querySelector('#events').textContent");
    assert!(!events.as_str().expect("text").contains("secret"), "{events}");

    // Without the token, everything is as before.
    click(&mut browser, &page, "#who");
    click(&mut browser, &page, "#token-forget");
    browser.wait_for(&page, &contains_text("notice", "The metrics need a token"));
    browser.wait_for(&page, "!document.querySelector('#history').textContent.includes('secret')");
}

#[test]
fn a_pasted_token_is_explained() {
    let (server, mut browser) = (locked(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, "document.querySelector('#history-words').textContent !== 'Loading…'");
    set(&mut browser, &page, "explain-token", &token(&["https://example.com/{x}"], &[]));
    set(&mut browser, &page, "explain-topics", "https://example.com/1\nhttps://example.org/1");
    click(&mut browser, &page, "#explain [type=submit]");
    browser.wait_for(&page, "document.querySelector('#verdict').textContent === 'Refused'");
    let checks = "[...document.querySelectorAll('#checks li')].map((check) => check.className).join()";
    let passed = browser.evaluate(&page, checks);
    let passed = passed.as_str().expect("text");
    assert!(passed.ends_with("passed,passed,failed") && passed.matches("failed").count() == 1, "{passed}");
    let said = browser.evaluate(&page, "document.querySelector('#said-text').textContent");
    assert!(said.as_str().is_some_and(|said| said.contains("\"publish\": [")), "{said}");

    set(&mut browser, &page, "explain-topics", "https://example.com/1");
    click(&mut browser, &page, "#explain [type=submit]");
    browser.wait_for(&page, "document.querySelector('#verdict').textContent === 'Allowed'");
    // The browser stores nothing of it.
    let stored =
        browser.evaluate(&page, "localStorage.length + sessionStorage.length + document.cookie.length");
    assert_eq!(stored, 0);
}

#[test]
fn a_hub_that_is_started_again_is_found_again() {
    let (mut server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, "document.querySelector('#watch-state').dataset.state === 'open'");
    server.program.signal("TERM");
    assert_eq!(server.program.wait().code(), Some(0));
    browser.wait_for(&page, "document.querySelector('#state').dataset.state === 'reconnecting'");
    browser.wait_for(&page, "document.querySelector('#watch-state').dataset.state === 'reconnecting'");
    let addr = server.addr.to_string();
    let again = start(serve().args(["--dev", "--store", "memory", "--addr", &addr]));
    browser.wait_for(&page, LIVE);
    browser.wait_for(&page, "document.querySelector('#watch-state').dataset.state === 'open'");
    publish(&again, "", &[json!({ "topic": "https://example.com/books/1", "data": "here again" })]);
    browser.wait_for(&page, &format!("{EVENTS}.some((event) => event.endsWith('here again'))"));
}

#[test]
fn two_windows_side_by_side_leave_connections_to_publish_with() {
    let (server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    // A window opens only after a key press.
    let opens = "document.getElementById('active-filter').onkeydown = () => (window.second ??= \
                 open('/hub/', '', 'popup')); 0";
    browser.evaluate(&page, opens);
    browser.fill(&page, "active-filter", "x");
    browser.wait_for(&page, "!!window.second");
    let there = |script: &str| script.replace("document.", "second.document.");
    browser.wait_for(&page, &there(LIVE));
    browser.wait_for(&page, &there("document.visibilityState === 'visible'"));
    for script in [str::to_owned, |script: &str| script.replace("document.", "second.document.")] {
        browser.evaluate(&page, &script("document.querySelector('#watch-go').click()"));
        browser.wait_for(&page, &script("document.querySelector('#watch-state').dataset.state === 'open'"));
    }
    // A browser opens six connections over HTTP/1.1 for all windows.
    for script in [str::to_owned, |script: &str| script.replace("document.", "second.document.")] {
        browser.evaluate(&page, &script("document.querySelector('#send').click()"));
        browser.wait_for(
            &page,
            &script("document.querySelector('#published-id')?.textContent.startsWith('urn:')"),
        );
    }
    browser.wait_for(&page, &format!("{EVENTS}.length === 2"));
    browser.wait_for(&page, &there(&format!("{EVENTS}.length === 2")));
    // Both draw the one stream of figures.
    let samples = "document.querySelector('#published').dataset.samples >= 3";
    browser.wait_for(&page, samples);
    browser.wait_for(&page, &there(samples));
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn it_fits_every_window_and_names_every_control() {
    let (server, mut browser) = (open(), Chromium::start());
    let long = format!("https://example.com/{}", "long".repeat(40));
    publish(
        &server,
        "",
        &[json!({ "topic": long, "data": "d".repeat(3_000), "private": true, "type": "t".repeat(80) })],
    );
    let _subscriber = get(&server, &format!("{HUB}?topic={long}"), "");
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    browser.wait_for(
        &page,
        "document.querySelectorAll('#history li').length > 0 && \
         document.querySelectorAll('#active li').length > 0",
    );
    browser
        .evaluate(&page, "document.querySelectorAll('details').forEach((details) => (details.open = true))");
    let mut grounds = Vec::new();
    // Each link is completely visible in the window, and in no box that has to be scrolled.
    let links = "[...document.querySelectorAll('.jump a')].every((link) => {
        const { left, right } = link.getBoundingClientRect(), nav = link.parentElement
        return left >= 0 && right <= innerWidth && nav.scrollWidth <= nav.clientWidth
    })";
    for width in [320, 360, 390, 768, 1280, 1920] {
        for scheme in ["light", "dark"] {
            browser.look(&page, Look { width, height: 844, scheme });
            let fits = browser.evaluate(&page, "document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{width} pixels, {scheme}: it is wider than the window");
            assert_eq!(browser.evaluate(&page, links), true, "{width} pixels: the navigation is cut");
            grounds.push(browser.evaluate(&page, "getComputedStyle(document.body).backgroundColor"));
        }
    }
    assert_ne!(grounds[0], grounds[1], "dark is not light");
    let nameless = "[...document.querySelectorAll('button, input, textarea, select, canvas, [tabindex]')]
        .filter((part) => !(part.ariaLabel || part.textContent.trim() ||
            part.labels?.[0]?.textContent.trim() || part.matches('.rest pre, #said-text')))
        .map((part) => part.outerHTML)";
    assert_eq!(browser.evaluate(&page, nameless), json!([]));
    assert_eq!(browser.problems(), [] as [Value; 0]);
}

#[test]
fn the_events_are_a_list_within_a_log() {
    let (server, mut browser) = (open(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, LIVE);
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, "document.querySelectorAll('#events li').length > 0");
    assert_eq!(browser.lists_in_logs(&page), ["Events as they arrive: list of listitem"]);
}

#[test]
fn a_refusal_disappears_when_its_cause_is_edited() {
    let (server, mut browser) = (locked(), Chromium::start());
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, &contains_text("history-words", "The history is empty"));
    let is_hidden = |id: &str| format!("document.querySelector('#{id}').hidden");
    let long = "x".repeat(5_000);

    click(&mut browser, &page, "#send");
    browser.wait_for(&page, &contains_text("publish-said", "Not published."));
    set(&mut browser, &page, "data", "something else");
    assert_eq!(browser.evaluate(&page, &is_hidden("publish-said")), true);
    click(&mut browser, &page, "#send");
    browser.wait_for(&page, &format!("!{}", is_hidden("publish-said")));
    give(&mut browser, &page, &token(&["*"], &["*"]));
    assert_eq!(browser.evaluate(&page, &is_hidden("publish-said")), true, "there is a token now");

    click(&mut browser, &page, "#explain [type=submit]");
    browser.wait_for(&page, "document.querySelector('#verdict').textContent === 'Refused'");
    set(&mut browser, &page, "explain-token", "another one");
    let checks = "document.querySelector('#checks').childElementCount";
    assert_eq!(browser.evaluate(&page, &is_hidden("verdict")), true);
    assert_eq!(browser.evaluate(&page, checks), 0);

    set(&mut browser, &page, "history-topic", &long);
    click(&mut browser, &page, "#history-form [type=submit]");
    browser.wait_for(&page, &contains_text("history-words", "5000 bytes"));
    set(&mut browser, &page, "history-topic", "*");
    assert_eq!(browser.evaluate(&page, &is_hidden("history-words")), true);

    set(&mut browser, &page, "selectors", &long);
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, &contains_text("watch-state", "refused"));
    set(&mut browser, &page, "selectors", "*");
    browser.wait_for(&page, &contains_text("watch-state", "not subscribed"));
}

#[test]
fn a_text_with_braces_that_is_no_template_is_explained() {
    let (server, mut browser) = (open(), Chromium::start());
    publish(&server, "", &[json!({ "topic": "https://example.com/books/1", "data": "a book" })]);
    let page = browser.open(&server.url("/hub/"), DESKTOP);
    browser.wait_for(&page, &contains_text("history", "a book"));
    for (topic, is_template) in [
        ("{", false),
        ("https://example.com/books/{id", false),
        ("{}", false),
        ("https://example.com/{+path}/{x,y:3}{?q*}", true),
    ] {
        let explained = format!("“{topic}” is not a URI template");
        search_history(&mut browser, &page, topic);
        browser
            .wait_for(&page, &format!("{} === {}", contains_text("history-words", &explained), !is_template));
    }
    set(&mut browser, &page, "selectors", "{");
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, &contains_text("events", "“{” is not a URI template"));
}

/// `cargo test -p ssekit-cli --test ui -- --ignored picture` draws the picture anew.
#[test]
#[ignore = "it writes docs/hub.png"]
fn picture_of_the_page() {
    let (server, mut browser) = (open(), Chromium::start());
    let topics = [
        ("books/{id}", 42),
        ("orders{?status}", 19),
        ("users/1/inbox", 14),
        ("books/7", 12),
        ("users/2/inbox", 11),
        ("users/3/inbox", 9),
        ("books/2", 6),
        ("books/11", 3),
    ];
    let mut subscribers = Vec::new();
    for (topic, count) in topics {
        let topic = topic.replace('{', "%7B").replace('}', "%7D");
        for _ in 0..count {
            subscribers.push(get(&server, &format!("{HUB}?topic=https://example.com/{topic}"), ""));
        }
    }
    let page = browser.open(&server.url("/hub/"), Look { height: 1180, ..DESKTOP });
    browser.wait_for(&page, LIVE);
    click(&mut browser, &page, "#watch-go");
    browser.wait_for(&page, "document.querySelector('#watch-state').dataset.state === 'open'");
    let titles = [
        "On the Origin of Events",
        "The Art of the Stream",
        "A Brief History of Time-outs",
        "Pride and Back-pressure",
    ];
    // Most of a minute of figures.
    for number in 0_usize..220 {
        let wave = 3.0 + 2.0 * (number as f64 / 24.0).sin() + (number * 7 % 5) as f64 / 3.0;
        let updates: Vec<Value> = (0..wave as usize)
            .map(|more| match (number + more) % 9 {
                8 => json!({
                    "topic": [
                        format!("https://example.com/orders/{number}"),
                        "https://example.com/users/1/inbox",
                    ],
                    "private": true, "type": "order", "data": { "order": number, "status": "paid" },
                }),
                of => json!({
                    "topic": format!("https://example.com/books/{}", (number * 5 + more) % 12),
                    "data": { "title": titles[of % 4], "stock": (number + 3 * more) % 17 },
                }),
            })
            .collect();
        publish(&server, "", &updates);
        if number % 20 == 10 {
            subscribers.swap_remove(number % 40);
        }
        if number == 200 {
            click(&mut browser, &page, "#send");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    browser.evaluate(&page, "document.activeElement.blur(); scrollTo(0, 0)");
    let picture = browser.screenshot(&page);
    assert!(picture.len() < 400_000, "{} bytes are too many for a README", picture.len());
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hub.png"), picture)
        .expect("the repository can be written");
    drop(subscribers);
}

/// Condition that an element has these words.
fn contains_text(id: &str, words: &str) -> String {
    format!("document.querySelector('#{id}').textContent.includes({words:?})")
}

/// Searches the history for a topic without updates.
///
/// On a very busy machine, Chromium has sometimes left such a search without an answer, for an unknown
/// reason: then the test prints the requests of the page, and searches again, as a person would.
fn search_history(browser: &mut Chromium, page: &Page, topic: &str) {
    let found_nothing = contains_text("history-words", "The history has no update of this topic");
    for _ in 0..3 {
        set(browser, page, "history-topic", topic);
        click(browser, page, "#history-form [type=submit]");
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if browser.evaluate(page, &found_nothing) == true {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let value = browser.evaluate(page, "document.querySelector('#history-topic').value");
        println!("no answer to a search for {topic:?}; the field has {value}; {:#}", browser.requests(page));
    }
    browser.wait_for(page, &found_nothing);
}

/// Puts text into a field, as if it was typed.
fn set(browser: &mut Chromium, page: &Page, id: &str, text: &str) {
    browser.evaluate(
        page,
        &format!(
            "((field) => {{
                field.value = {};
                field.dispatchEvent(new Event('input', {{ bubbles: true }}));
             }})(document.getElementById({id:?}))",
            json!(text)
        ),
    );
}

fn click(browser: &mut Chromium, page: &Page, selector: &str) {
    browser.evaluate(page, &format!("document.querySelector({}).click()", json!(selector)));
}

/// Gives the page a token for reading.
fn give(browser: &mut Chromium, page: &Page, token: &str) {
    click(browser, page, "#who");
    set(browser, page, "token", token);
    click(browser, page, "#token-use");
}

/// The browser reports each error answer, and nothing else.
fn assert_refusals(browser: &mut Chromium, count: usize) {
    let problems = browser.problems();
    assert_eq!(problems.len(), count, "{problems:#?}");
    for problem in problems {
        let text = problem["params"]["entry"]["text"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains("the server responded with a status of 4"), "{problem}");
    }
}

/// Whether figures arrive.
const LIVE: &str = "document.querySelector('#state').textContent.trim() === 'live'";
/// The watched events: name, id and data.
const EVENTS: &str = "[...document.querySelectorAll('#events [data-event]')].map((event) =>
    [event.querySelector('b'), event.querySelector('.head code'), event.querySelector('.data')]
        .map((part) => part.textContent).join('|'))";
