//! The demo's page, in a browser.

use std::time::Instant;

use serde_json::json;

use crate::chromium::{Chromium, DESKTOP, Look, Page};
use crate::http::{own_position, send_message};
use crate::node;
use crate::program::{PATIENCE, Program, Server, curl, serve, serve_by, ssekit};
use crate::proxy::Proxy;

#[test]
fn two_pages_chat_and_list_the_visitors() {
    let (server, mut browser) = (serve(), Chromium::start());
    let ada = enter(&mut browser, &server, "Ada");
    let grace = enter(&mut browser, &server, "Grace");
    let here = |names: [&str; 2]| format!("{PEOPLE}.join() === {:?}", names.join(","));
    browser.wait_for(&ada, &here(["Ada", "Grace"]));
    browser.wait_for(&grace, &here(["Grace", "Ada"]));

    let evil = "<img src=x onerror=alert(1)> & \"quotes\"";
    browser.fill(&ada, "text", evil);
    browser.wait_for(&grace, &format!("{SAID}.includes({evil:?})"));
    browser.fill(&grace, "text", "hello Ada");
    browser.wait_for(&ada, &format!("{SAID}.includes('hello Ada')"));
    let mine = browser.evaluate(&ada, "document.querySelector('.mine .said').textContent");
    assert_eq!(mine, evil, "one's own messages are marked");
    browser.wait_for(&ada, "document.querySelector('#text').value === ''");

    // The browser keeps the name, and a reloaded page gets the earlier messages.
    browser.evaluate(&ada, "window.isOld = true; location.reload()");
    browser.wait_for(
        &ada,
        &format!(
            "!window.isOld && {SAID}.length === 2 && {OPEN} && document.querySelector('#name').value \
             === 'Ada'"
        ),
    );

    browser.close(&grace);
    browser.wait_for(&ada, &format!("{PEOPLE}.join() === 'Ada'"));
    let notices =
        browser.evaluate(&ada, "document.querySelector('#talk').textContent.includes('Grace left')");
    assert_eq!(notices, true);
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

#[test]
fn the_charts_are_drawn_from_the_events() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    for (chart, unit, colour) in
        [("cpu", " %", "cpu"), ("memory", " %", "memory"), ("network", "B/s", "loopback")]
    {
        browser.wait_for(&page, &format!("document.querySelector('#{chart}').dataset.samples >= 8"));
        let value = browser.evaluate(&page, &format!("document.querySelector('#{chart}-now').textContent"));
        let number = value.as_str().and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
        assert!(number.is_some() && value.as_str().unwrap().ends_with(unit), "{chart} shows {value}");
        // Pixels in the color of the line, right of the middle, where the first seconds are.
        let drawn = format!(
            "(() => {{
                const canvas = document.querySelector('#{chart}');
                const probe = document.createElement('canvas').getContext('2d');
                probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--{colour}');
                probe.fillRect(0, 0, 1, 1);
                const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
                const half = canvas.width >> 1;
                const width = canvas.width - half;
                const {{ data }} = canvas.getContext('2d').getImageData(half, 0, width, canvas.height);
                let count = 0;
                for (let at = 0; at < data.length; at += 4) {{
                    const near =
                        Math.abs(data[at] - red) +
                        Math.abs(data[at + 1] - green) +
                        Math.abs(data[at + 2] - blue);
                    if (near < 24 && data[at + 3] > 200) count += 1;
                }}
                return count > 10 ? count : false;
            }})()"
        );
        browser.wait_for(&page, &drawn);
    }
    let memory = browser.evaluate(&page, "document.querySelector('#memory-detail').textContent");
    assert!(memory.as_str().is_some_and(|memory| memory.ends_with("GiB in use")), "{memory}");
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

#[test]
fn the_page_curl_our_listener_and_the_npm_package_receive_the_same_events() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    let (stats, everything) = (curl(&server.url("/stats")), curl(&server.url("/events")));
    let listener = Program::start(ssekit().args(["listen", &server.url("/events")]));
    // The package sends POST by default.
    let npm = [("/events", "{}"), ("/events", r#"{"method":"GET"}"#), ("/stats", "{}")]
        .map(|(path, options)| (path, options, Program::start(&mut node::page(&server.url(path), options))));
    for program in [&stats, &everything, &listener] {
        program.stdout.find("id: ");
    }
    for (.., program) in &npm {
        program.stdout.find("\"kind\":\"message\"");
    }
    browser.fill(&page, "text", "said once, heard everywhere");

    // The message and the figures after it, as lines that were shown when all were listening.
    let lines = "[...block.children].map((line) => line.textContent).join('\\n')";
    let chat = format!("((block) => {lines})(document.querySelector('#blocks [data-event=chat]'))");
    let figures =
        format!("((block) => {lines})(document.querySelector('[data-event=chat] ~ [data-event=stats]'))");
    let chat = browser.wait_for(&page, &chat);
    let figures = browser.wait_for(&page, &figures);
    let (chat, figures) = (chat.as_str().expect("text"), figures.as_str().expect("text"));
    assert!(chat.starts_with("id: ") && chat.contains("\nevent: chat\ndata: {"), "{chat:?}");
    assert!(chat.contains("said once, heard everywhere"), "{chat:?}");
    assert!(
        figures.starts_with("id: ") && figures.contains("\nevent: stats\ndata: {\"cpu\":"),
        "{figures:?}"
    );

    let (chat, figures) = (Block::of(chat), Block::of(figures));
    for (who, program) in [("curl /events", &everything), ("ssekit listen /events", &listener)] {
        all_among(&[&chat, &figures], who, || Block::next(program));
    }
    all_among(&[&figures], "curl /stats", || Block::next(&stats));
    for (path, options, program) in &npm {
        let blocks = [&figures, &chat];
        let blocks = if *path == "/stats" { &blocks[..1] } else { &blocks };
        all_among(blocks, &format!("sveltekit-sse with {options} on {path}"), || {
            let line = program.stdout.find("\"kind\":\"message\"");
            let report: serde_json::Value = serde_json::from_str(&line).expect("the page reports JSON");
            let text = |field: &str| report[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}"));
            Block::new(text("id"), text("event"), text("data"))
        });
    }
}

#[test]
fn the_program_for_browsers_on_the_page_runs_in_it() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    browser.evaluate(
        &page,
        "window.logged = []; console.log = (...figures) => logged.push(figures);
         const program = document.querySelector('#panel-browser').textContent;
         new (async () => {}).constructor(program)(); 0",
    );
    browser.wait_for(
        &page,
        "logged.length >= 3 && logged.every(([id, ...figures]) => id && figures.every(Number.isFinite))",
    );
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

/// Reads until all of these have arrived, in any order: each stream has its own order between two channels.
fn all_among(blocks: &[&Block], who: &str, mut next: impl FnMut() -> Block) {
    let end = Instant::now() + PATIENCE;
    let mut missing = blocks.to_vec();
    while !missing.is_empty() {
        assert!(Instant::now() < end, "{who} does not have what the page has: {missing:#?}");
        let received = next();
        missing.retain(|block| **block != received);
    }
}

/// Event, with only the own part of its id.
#[derive(Debug, PartialEq)]
struct Block {
    place: String,
    name: String,
    data: String,
}

impl Block {
    fn new(id: &str, name: &str, data: &str) -> Self {
        Self { place: own_position(name, id).to_owned(), name: name.to_owned(), data: data.to_owned() }
    }

    fn of(lines: &str) -> Self {
        let mut lines = ["id: ", "event: ", "data: "].iter().zip(lines.lines());
        let mut value =
            || lines.next().and_then(|(field, line)| line.strip_prefix(field)).expect("three fields");
        Self::new(value(), value(), value())
    }

    /// Reads the next event from the program's lines.
    fn next(program: &Program) -> Self {
        let id = program.stdout.find("id: ");
        Self::of(&[id, program.stdout.find("event: "), program.stdout.find("data: ")].join("\n"))
    }
}

#[test]
fn events_and_messages_are_lists_within_logs() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    browser.wait_for(&page, "document.querySelectorAll('#blocks li').length > 0");
    let lists = browser.lists_in_logs(&page);
    assert_eq!(lists, ["Events as they arrive: list of listitem", "Messages: list of listitem"]);
}

#[test]
fn the_traffic_can_be_paused_and_filtered() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    let blocks = "document.querySelectorAll('#blocks [data-event=stats]').length";
    browser.wait_for(&page, &format!("{blocks} >= 2"));
    browser.evaluate(&page, "document.querySelector('#pause').click()");
    let before = browser.evaluate(&page, blocks);
    browser.wait_for(&page, "document.querySelector('#pause').textContent === 'Resume (3)'");
    assert_eq!(browser.evaluate(&page, blocks), before, "nothing moves while it is paused");
    browser.evaluate(&page, "document.querySelector('#pause').click()");
    browser.wait_for(&page, &format!("{blocks} >= {before} + 3"));

    // Scrolling up also stops the list; a window of another size does not.
    browser.look(&page, Look { width: 390, ..DESKTOP });
    browser.wait_for(&page, &format!("{blocks} >= {before} + 5"));
    browser.evaluate(&page, "document.querySelector('#blocks').scrollTop = 0");
    browser.wait_for(&page, "document.querySelector('#pause').textContent.startsWith('Resume (')");
    browser.evaluate(&page, "document.querySelector('#pause').click()");

    browser.evaluate(&page, "document.querySelector('#filters button').click()");
    let visible =
        "[...document.querySelectorAll('#blocks [data-event]')].filter((block) => block.offsetHeight > 0)";
    let names = browser
        .evaluate(&page, &format!("[...new Set({visible}.map((block) => block.dataset.event))].join()"));
    assert_eq!(names, "people");
}

#[test]
fn the_page_reports_a_lost_server_and_recovers() {
    let (mut server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    browser.fill(&page, "text", "before");
    browser.wait_for(&page, &format!("{SAID}.length === 1"));
    let addr = server.addr.to_string();
    server.program.signal("TERM");
    assert_eq!(server.program.wait().code(), Some(0));

    let gone = "!document.querySelector('#notice').hidden && document.querySelector('#notice').textContent";
    let notice = browser.wait_for(&page, gone);
    assert!(
        notice.as_str().is_some_and(|notice| notice.starts_with("The server is unavailable")),
        "{notice}"
    );
    assert_eq!(browser.evaluate(&page, "document.querySelector('#state').innerText"), "reconnecting");
    browser.fill(&page, "text", "while it is gone");
    browser
        .wait_for(&page, "document.querySelector('#problem').innerText.startsWith('Not sent: the server')");
    let kept = browser.evaluate(&page, "document.querySelector('#text').value");
    assert_eq!(kept, "while it is gone");

    let _server = serve_by(ssekit().args(["--addr", &addr]));
    browser.wait_for(&page, &format!("{OPEN} && document.querySelector('#notice').hidden"));
    browser.fill(&page, "text", "after");
    browser.wait_for(&page, &format!("{SAID}.join() === 'after'"));
}

#[test]
fn after_a_restart_the_pages_report_it_and_chat_again() {
    let (mut server, mut browser) = (serve(), Chromium::start());
    let [ada, grace] = ["Ada", "Grace"].map(|name| enter(&mut browser, &server, name));
    browser.fill(&ada, "text", "before");
    browser.wait_for(&grace, &format!("{SAID}.join() === 'before'"));
    let addr = server.addr.to_string();
    server.program.signal("KILL");
    server.program.wait();

    let _server = serve_by(ssekit().args(["--addr", &addr]));
    for page in [&ada, &grace] {
        let news = browser.wait_for(page, NEWS);
        assert_eq!(news, "Reset: the server was restarted, and the chat room is empty.");
        browser.wait_for(page, &format!("{PEOPLE}.length === 2"));
    }
    browser.fill(&ada, "text", "Ada, after");
    browser.wait_for(&grace, &format!("{SAID}.length === 1"));
    browser.fill(&grace, "text", "Grace, after");
    for page in [&ada, &grace] {
        browser.wait_for(page, &format!("{SAID}.join('|') === 'Ada, after|Grace, after'"));
        let why = browser.evaluate(page, "document.querySelector('#talk .note').textContent");
        assert_eq!(why, "The server was restarted and has lost the earlier messages.");
    }
}

#[test]
fn case_109_after_a_lost_connection_the_page_resumes_or_reports_the_missed_events() {
    let (server, mut browser) = (serve(), Chromium::start());
    let network = Proxy::of(server.addr);
    let grace = enter(&mut browser, &server, "Grace");
    let ada = browser.open(&format!("http://{}/", network.addr), DESKTOP);
    browser.wait_for(&ada, OPEN);
    browser.fill(&ada, "name", "Ada");
    browser.wait_for(&ada, &format!("{PEOPLE}.join() === 'Ada,Grace'"));
    browser.fill(&ada, "text", "1");
    browser.wait_for(&grace, &format!("{SAID}.join() === '1'"));
    let mut said = vec!["1".to_owned()];

    let lost = "document.querySelector('#state').dataset.state === 'reconnecting'";
    network.cut();
    browser.wait_for(&ada, lost);
    for text in ["2", "3"] {
        browser.fill(&grace, "text", text);
        said.push(text.to_owned());
        browser.wait_for(&grace, &format!("{SAID}.length === {}", said.len()));
    }
    network.mend();
    assert_eq!(browser.wait_for(&ada, NEWS), "Resumed: nothing was missed.");
    browser.fill(&ada, "text", "4");
    said.push("4".to_owned());
    for page in [&ada, &grace] {
        browser.wait_for(page, &format!("{SAID}.at(-1) === '4'"));
        assert_eq!(browser.evaluate(page, SAID), json!(said));
    }
    // Grace's page had the machine read all the while.
    let figures = "[...document.querySelectorAll('#blocks [data-event=stats] p:first-child')]
        .map((id) => Number(id.textContent.match(/-([0-9]+),/)[1]))";
    let steps =
        browser.evaluate(&ada, &format!("{figures}.map((number, index, all) => number - all[0] - index)"));
    assert!(steps.as_array().is_some_and(|steps| steps.iter().all(|step| *step == 0)), "{steps}");

    // More than the server keeps.
    network.cut();
    browser.wait_for(&ada, lost);
    for number in 5..65 {
        send_message(server.addr, "Grace", &number.to_string());
    }
    network.mend();
    let news = browser.wait_for(&ada, NEWS);
    assert_eq!(news, "Resumed, but missed 10 messages, which the server no longer has.");
    said.extend((15..65).map(|number| number.to_string()));
    browser.wait_for(&ada, &format!("{SAID}.at(-1) === '64'"));
    assert_eq!(browser.evaluate(&ada, SAID), json!(said));
    let note = "[...document.querySelectorAll('#talk .note')].map((note) => note.textContent)";
    let notes = browser.evaluate(&ada, note);
    assert!(notes.as_array().is_some_and(|notes| notes.contains(&json!("10 messages missed"))), "{notes}");
}

#[test]
fn a_page_that_reopens_its_stream_resumes() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "Ada");
    browser.fill(&page, "text", "once");
    browser.wait_for(&page, &format!("{SAID}.join() === 'once'"));
    browser.fill(&page, "name", "Grace");
    browser.wait_for(&page, &format!("{PEOPLE}.join() === 'Grace'"));
    browser.fill(&page, "text", "twice");
    browser.wait_for(&page, &format!("{SAID}.at(-1) === 'twice'"));
    assert_eq!(browser.evaluate(&page, SAID), json!(["once", "twice"]));
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

#[test]
fn the_page_fits_a_phone_and_a_desktop_and_each_control_has_a_name() {
    let (server, mut browser) = (serve(), Chromium::start());
    let page = enter(&mut browser, &server, "A name that takes thirty-two ch.");
    browser.fill(&page, "text", &"unbreakable".repeat(40));
    browser.wait_for(&page, &format!("{SAID}.length === 1"));
    let mut grounds = Vec::new();
    for width in [320, 390, 768, 1280, 1920] {
        for scheme in ["light", "dark"] {
            browser.look(&page, Look { width, height: 844, scheme });
            let fits = browser.evaluate(&page, "document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{width} pixels, {scheme}: it is wider than the window");
            grounds.push(browser.evaluate(&page, "getComputedStyle(document.body).backgroundColor"));
        }
    }
    assert_ne!(grounds[0], grounds[1], "dark is not light");

    let nameless = "[...document.querySelectorAll('button, input, canvas, [role=tab], [tabindex]')]
        .filter((part) => !(part.ariaLabel || part.textContent.trim() ||
            part.labels?.[0]?.textContent.trim()))
        .map((part) => part.outerHTML)";
    assert_eq!(browser.evaluate(&page, nameless), json!([]));
    assert_eq!(browser.problems(), [] as [serde_json::Value; 0]);
}

/// `cargo test -p ssekit-cli --test program -- --ignored picture` draws the README's picture anew.
#[test]
#[ignore = "it writes docs/demo.png"]
fn picture_of_the_page() {
    let (server, mut browser) = (serve(), Chromium::start());
    let ada = enter(&mut browser, &server, "Ada");
    let grace = enter(&mut browser, &server, "Grace");
    // A reloaded page has forgotten the names from before.
    browser.evaluate(&ada, "window.isOld = true; location.reload()");
    browser.wait_for(&ada, &format!("!window.isOld && {PEOPLE}.join() === 'Ada,Grace'"));
    browser.look(&ada, Look { scheme: "dark", height: 1080, ..DESKTOP });
    let talk = [
        (&ada, "hello from the desktop"),
        (&grace, "hi Ada! This came as one `chat` event"),
        (&grace, "on the same response as the charts"),
        (&ada, "and when the server restarts?"),
        (&grace, "the browser returns by itself, with Last-Event-ID"),
    ];
    for (said, (page, text)) in talk.into_iter().enumerate() {
        browser.fill(page, "text", text);
        browser.wait_for(&ada, &format!("{SAID}.length === {}", said + 1));
    }
    // Most of a minute of figures.
    for _ in 0..2 {
        let samples = browser.evaluate(&ada, "document.querySelector('#cpu').dataset.samples");
        browser.wait_for(
            &ada,
            &format!("document.querySelector('#cpu').dataset.samples >= Number({samples}) + 100"),
        );
    }
    browser.evaluate(&ada, "document.activeElement.blur(); scrollTo(0, 0)");
    let picture = browser.screenshot(&ada);
    assert!(picture.len() < 300_000, "{} bytes are too many for a README", picture.len());
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    std::fs::create_dir_all(folder).expect("the repository can be written");
    std::fs::write(format!("{folder}/demo.png"), picture).expect("the repository can be written");
}

/// Page in a browser profile of its own, in the room under this name.
fn enter(browser: &mut Chromium, server: &Server, name: &str) -> Page {
    let page = browser.open(&server.url("/"), DESKTOP);
    browser.wait_for(&page, OPEN);
    browser.fill(&page, "name", name);
    browser.wait_for(&page, &format!("{PEOPLE}[0] === {name:?}"));
    page
}

/// Whether the stream is open.
const OPEN: &str = "document.querySelector('#state').dataset.state === 'open'";
/// The page's message about the stream.
const NEWS: &str = "!document.querySelector('#news').hidden && document.querySelector('#news').textContent";
/// Names of the visitors, the own one first.
const PEOPLE: &str = "[...document.querySelectorAll('#people bdi')].map((name) => name.textContent)";
/// All messages.
const SAID: &str = "[...document.querySelectorAll('#talk .said')].map((said) => said.textContent)";
