//! Files of the hub's page, which are part of the program and need no build step.
//!
//! The demo shares the files in `assets/`.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use ssekit_hub::hub::Hub;

use crate::assets::{self, HTML, JAVASCRIPT, file};

/// Returns a route for each file.
pub(super) fn router(hub: &Hub) -> Router {
    let page: Arc<str> = written(hub).into();
    let router = Router::new()
        .route("/hub", get(|| async { Redirect::permanent("/hub/") }))
        .route("/hub/", get(move || async move { file(HTML, page.to_string()).into_response() }));
    FILES.iter().fold(router, |router, &(name, kind, text)| {
        router.route(&format!("/hub/{name}"), get(move || async move { file(kind, text) }))
    })
}

/// The page, with the hub's path.
fn written(hub: &Hub) -> String {
    let path = hub.path().replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let is = |yes: bool| if yes { "yes" } else { "no" };
    include_str!("page/hub.html")
        .replace("{{hub}}", &path)
        .replace("{{open}}", is(hub.access().open))
        .replace("{{anonymous}}", is(hub.access().anonymous))
        .replace("{{subscriptions}}", is(hub.lists_subscriptions()))
}

const FILES: [(&str, &str, &str); 15] = [
    ("page.css", "text/css; charset=utf-8", assets::PAGE_CSS),
    ("hub.css", "text/css; charset=utf-8", include_str!("page/hub.css")),
    ("hub.js", JAVASCRIPT, include_str!("page/hub.js")),
    ("access.js", JAVASCRIPT, include_str!("page/access.js")),
    ("words.js", JAVASCRIPT, include_str!("page/words.js")),
    ("figures.js", JAVASCRIPT, include_str!("page/figures.js")),
    ("publish.js", JAVASCRIPT, include_str!("page/publish.js")),
    ("watch.js", JAVASCRIPT, include_str!("page/watch.js")),
    ("active.js", JAVASCRIPT, include_str!("page/active.js")),
    ("history.js", JAVASCRIPT, include_str!("page/history.js")),
    ("explain.js", JAVASCRIPT, include_str!("page/explain.js")),
    ("charts.js", JAVASCRIPT, assets::CHARTS_JS),
    ("follow.js", JAVASCRIPT, assets::FOLLOW_JS),
    ("ssekit.js", JAVASCRIPT, assets::SSEKIT_JS),
    ("favicon.svg", "image/svg+xml", assets::FAVICON_SVG),
];
