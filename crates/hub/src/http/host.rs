//! By which names pages may be asked for.
//!
//! The page of another site can have its own name point at this machine (DNS rebinding). To the browser our pages are then
//! a part of that site, which may read them and speak in them; but its requests carry the site's name, and that is refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use ssekit_mercure::foreign_host;

/// Passes a request on that asks for `localhost`, an IP address or the name that the server was told to listen on.
pub(crate) async fn ours_alone(State(own): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let Some(host) = foreign_host(request.uri(), request.headers(), &own) else {
        return next.run(request).await;
    };
    let why = format!(
        "{host:?} is not a name of this server: use localhost, its IP address, or the host name from --addr\n"
    );
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}
