//! The files that the demo and the page of the hub share, and the headers of every file.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;

pub(crate) const PAGE_CSS: &str = include_str!("../assets/page.css");
pub(crate) const CHARTS_JS: &str = include_str!("../assets/charts.js");
pub(crate) const FOLLOW_JS: &str = include_str!("../assets/follow.js");
pub(crate) const FAVICON_SVG: &str = include_str!("../assets/favicon.svg");
/// The npm package in one file, built by `cargo xtask web`.
pub(crate) const SSEKIT_JS: &str = include_str!("../assets/ssekit.js");

/// Response with a file: the browser loads nothing from elsewhere, and requests the file again each time.
pub(crate) fn file(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // A later version of the program may have another file.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}

pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Only files of this server and no inline code. The npm package uses WebAssembly.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
