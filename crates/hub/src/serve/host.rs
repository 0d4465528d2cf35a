//! By which names the server may be asked.
//!
//! The page of another site can have its own name point at this machine (DNS rebinding). To the browser the demo is then
//! a part of that site, which may read it and speak in it; but its requests carry the site's name, and that is refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::mercure::is_ours;

/// Passes a request on that asks for `localhost`, an IP address or the name that the server was told to listen on.
pub(crate) async fn ours_alone(State(own): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    // A URL on the request line goes before the header (RFC 9112, 3.2.2). Browsers never leave out both.
    let host = match (request.uri().authority(), request.headers().get(header::HOST)) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().unwrap_or("?"),
        (None, None) => return next.run(request).await,
    };
    if is_ours(host, &own) {
        return next.run(request).await;
    }
    let why = format!(
        "{host:?} is not a name of this server: ask by localhost, by its IP address, or by the name given with --addr\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}
