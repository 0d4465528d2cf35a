//! Check of the header `Host` for pages.
//!
//! A site can point its own name at this machine (DNS rebinding). The browser then takes the hub's pages for
//! a part of that site, which may read them and send requests; but the requests carry the site's name, and
//! are refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use ssekit_mercure::foreign_host;

/// Passes a request on if its host is `localhost`, an IP address or the configured name of the server.
pub(crate) async fn own_host_only(
    State(own): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(host) = foreign_host(request.uri(), request.headers(), &own) else {
        return next.run(request).await;
    };
    let why = format!(
        "{host:?} is not a name of this server: use localhost, its IP address, or the host name from --addr\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}
