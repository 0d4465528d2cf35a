//! Files of the demo's page, which are part of the program and need no build step.

use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;

use crate::assets::{self, HTML, JAVASCRIPT, file};

/// Returns a route for each file.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = Router::new().route("/", get(|| async { file(HTML, PAGE.as_str()) }));
    FILES.iter().fold(page, |router, &(path, kind, text)| {
        router.route(path, get(move || async move { file(kind, text) }))
    })
}

/// The page, with the source code that it shows; this is code of the crate's examples, so it compiles.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let source = escape(include_str!("../../examples/page_source.rs"));
    let produce = escape(include_str!("../../examples/page_produce.rs"));
    include_str!("page/page.html").replace("{{source.rs}}", &source).replace("{{produce.rs}}", &produce)
});

/// Source code as HTML, without attributes that only our own checks need.
fn escape(program: &str) -> String {
    let lines: Vec<&str> = program.lines().filter(|line| !line.starts_with("#![")).collect();
    let text = lines.join("\n");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const FILES: [(&str, &str, &str); 9] = [
    ("/page.css", "text/css; charset=utf-8", assets::PAGE_CSS),
    ("/page.js", JAVASCRIPT, include_str!("page/page.js")),
    ("/stream.js", JAVASCRIPT, include_str!("page/stream.js")),
    ("/ssekit.js", JAVASCRIPT, assets::SSEKIT_JS),
    ("/charts.js", JAVASCRIPT, assets::CHARTS_JS),
    ("/follow.js", JAVASCRIPT, assets::FOLLOW_JS),
    ("/room.js", JAVASCRIPT, include_str!("page/room.js")),
    ("/wire.js", JAVASCRIPT, include_str!("page/wire.js")),
    ("/favicon.svg", "image/svg+xml", assets::FAVICON_SVG),
];
