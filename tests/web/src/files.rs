//! Files of one folder, so that pages and streams share an origin.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;

pub(crate) async fn serve(State(app): State<App>, uri: Uri) -> Response {
    let Some(folder) = app.files else {
        return (StatusCode::NOT_FOUND, "no such stream, and no files: start with --files").into_response();
    };
    // Nothing outside the folder: no `..`, no absolute path, and no link that leads away.
    let path = folder.join(uri.path().trim_start_matches('/'));
    let found = tokio::fs::canonicalize(&path).await.ok().filter(|path| path.starts_with(&*folder));
    let Some(found) = found else {
        return (StatusCode::NOT_FOUND, format!("no such file: {}", uri.path())).into_response();
    };
    match tokio::fs::read(&found).await {
        Ok(bytes) => {
            let kind = media_type(found.extension().and_then(|extension| extension.to_str()));
            let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
            (headers, Body::from(bytes)).into_response()
        }
        Err(error) => {
            (StatusCode::NOT_FOUND, format!("{} cannot be read: {error}", uri.path())).into_response()
        }
    }
}

fn media_type(extension: Option<&str>) -> &'static str {
    match extension {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
