//! A page of one origin subscribes to a hub of another one, as `docs/page.md` shows, behind each proxy.

use std::net::TcpListener;
use std::path::Path;

use serde_json::json;

use crate::chromium::{Chromium, DESKTOP, Page};
use crate::hub::{Hub, folder, free_addr, publish};
use crate::page;
use crate::proxy::{ALL, Proxy};

#[test]
fn a_page_of_another_origin_resumes_after_a_restart_of_the_hub() {
    let samples = samples();
    let mut browser = Chromium::start();
    for kind in ALL {
        let (addr, store) = (free_addr(), folder("store"));
        // The example names the origin of the pages, and the pages name the proxy.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let proxy = Proxy::start_with(kind, &addr, &[("https://app.example.com", &origin)]);
        let [with_event_source, with_client] =
            samples.each_ref().map(|sample| sample.replace("https://hub.example.com", &proxy.origin()));
        page::files(
            listener,
            vec![
                ("/event-source", "text/html", with_event_source),
                ("/client", "text/html", with_client),
                ("/ssekit.js", "text/javascript", CLIENT.to_owned()),
            ],
        );
        let store_path = store.to_str().expect("a path is text");
        let flags = ["--store", store_path, "--cors-origins", &origin, "--drain", "0s"];
        let start = || Hub::start_at(&addr, &flags);
        let mut hub = start();
        publish(&hub.url(), "history", &[]);

        let pages = ["/event-source", "/client"].map(|path| {
            let page = browser.open("about:blank", DESKTOP);
            browser.on(&page, "Security.setIgnoreCertificateErrors", &json!({ "ignore": true }));
            browser.on(&page, "Page.navigate", &json!({ "url": format!("{origin}{path}") }));
            page
        });
        let mut shown = "history".to_owned();
        for page in &pages {
            browser.wait_for(page, &format!("{NEWS} === {shown:?}"));
        }

        hub.program.signal("TERM");
        hub.program.wait();
        for page in &pages {
            // Each has asked the proxy again, more than once, before the hub returns.
            let asked = asked(&mut browser, page);
            browser.wait_for(page, &format!("{ASKED} >= {}", asked + 2));
        }
        let hub = start();
        publish(&hub.url(), "after", &[]);
        shown += ",after";
        for page in &pages {
            browser.wait_for(page, &format!("{NEWS} === {shown:?}"));
            browser.close(page);
        }
        drop((hub, proxy));
        std::fs::remove_dir_all(Path::new(&store)).expect("the store can be removed");
    }
}

#[test]
fn a_page_on_a_development_server_subscribes_to_a_hub_with_dev() {
    let hub = Hub::start(&["--dev"]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let origin = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
    let [with_event_source, with_client] =
        samples().map(|sample| sample.replace("https://hub.example.com", &format!("http://{}", hub.addr)));
    page::files(
        listener,
        vec![
            ("/event-source", "text/html", with_event_source),
            ("/client", "text/html", with_client),
            ("/ssekit.js", "text/javascript", CLIENT.to_owned()),
        ],
    );
    publish(&hub.url(), "history", &[]);
    let mut browser = Chromium::start();
    let pages = ["/event-source", "/client"].map(|path| browser.open(&format!("{origin}{path}"), DESKTOP));
    for page in &pages {
        browser.wait_for(page, &format!("{NEWS} === 'history'"));
    }
    publish(&hub.url(), "live", &[]);
    for page in &pages {
        browser.wait_for(page, &format!("{NEWS} === 'history,live'"));
    }
}

/// The npm package in one file.
const CLIENT: &str = include_str!("../../assets/ssekit.js");
/// Text of a page.
const NEWS: &str = "[...document.querySelectorAll('#news li')].map((line) => line.textContent).join()";
/// Number of answers that a page has had from the hub's URL.
const ASKED: &str = "performance.getEntriesByType('resource').filter(({ name }) => \
                     name.includes('.well-known/mercure')).length";

fn asked(browser: &mut Chromium, page: &Page) -> u64 {
    browser.evaluate(page, ASKED).as_u64().expect("a number")
}

/// Pages of the document: with EventSource, and with the npm package.
fn samples() -> [String; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/page.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let pages =
        text.split("```html\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned);
    let pages: Vec<String> = pages.collect();
    pages.try_into().unwrap_or_else(|pages: Vec<_>| panic!("two pages, not {}", pages.len()))
}
