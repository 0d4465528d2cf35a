//! The page and what it is made of: files in the program itself, without a build step.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::get;

/// A route for each file.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = Router::new().route("/", get(|| async { file(HTML, PAGE.as_str()) }));
    FILES.iter().fold(page, |router, &(path, kind, text)| {
        router.route(path, get(move || async move { file(kind, text) }))
    })
}

/// A file, with the headers that keep its page to itself.
pub(crate) fn file(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The program may be another one the next time.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

/// The page, with the programs that it shows; these are examples of this crate, so that they compile.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let source = escape(include_str!("../../examples/page_source.rs"));
    let produce = escape(include_str!("../../examples/page_produce.rs"));
    include_str!("page/page.html").replace("{{source.rs}}", &source).replace("{{produce.rs}}", &produce)
});

/// The program as HTML, without what only our own checks need.
fn escape(program: &str) -> String {
    let lines: Vec<&str> = program.lines().filter(|line| !line.starts_with("#![")).collect();
    let text = lines.join("\n");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const FILES: [(&str, &str, &str); 9] = [
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", JAVASCRIPT, include_str!("page/page.js")),
    ("/stream.js", JAVASCRIPT, include_str!("page/stream.js")),
    // The npm package, as `cargo xtask web` has built it.
    ("/ssekit.js", JAVASCRIPT, include_str!("page/ssekit.js")),
    ("/charts.js", JAVASCRIPT, include_str!("page/charts.js")),
    ("/follow.js", JAVASCRIPT, include_str!("page/follow.js")),
    ("/room.js", JAVASCRIPT, include_str!("page/room.js")),
    ("/wire.js", JAVASCRIPT, include_str!("page/wire.js")),
    ("/favicon.svg", "image/svg+xml", include_str!("page/favicon.svg")),
];
pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Nothing from elsewhere, nothing inline. WebAssembly is the package's.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
