use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use prometheus_client::registry::Registry;

use crate::hub::{Granted, Hub};
use crate::mercure::{Problem, ProblemKind, Subscribe, cors, publication, publications_ndjson, subscriptions};

/// What a route needs.
#[derive(Clone, Debug)]
struct Context {
    hub: Arc<Hub>,
    body_time: Duration,
}

pub(super) fn router(
    hub: Arc<Hub>,
    body_time: Duration,
    registry: Option<Arc<Registry>>,
    pages: Option<Router>,
) -> Router {
    let path = hub.path.clone();
    let context = Context { hub, body_time };
    let mut router = Router::new()
        .route(&path, axum::routing::any(at_hub))
        .route(&format!("{path}/subscriptions"), axum::routing::any(active))
        .route(&format!("{path}/subscriptions/{{*of}}"), axum::routing::any(active))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready));
    if let Some(registry) = registry {
        router = router.route("/metrics", get(move || metrics(Arc::clone(&registry))));
    }
    let router = router.with_state(context);
    match pages {
        Some(pages) => router.merge(pages),
        None => router.fallback(|| async { answer(&Problem::new(ProblemKind::NotFound, "nothing is here")) }),
    }
}

async fn at_hub(State(context): State<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Context { hub, body_time } = context;
    let mut response = match parts.method {
        Method::GET | Method::HEAD => return subscribe(&hub, parts).await.unwrap_or_else(|problem| problem),
        Method::OPTIONS => return preflight(&hub, &parts),
        Method::POST => match publish(&hub, &parts, body, body_time).await {
            Ok(ids) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], ids).into_response(),
            Err(problem) => answer(&problem),
        },
        _ => answer(&Problem::new(
            ProblemKind::MethodNotAllowed("GET, HEAD, POST, OPTIONS"),
            format!("{} is not a method of the hub: GET subscribes, POST publishes", parts.method),
        )),
    };
    cors::answer(&hub.access.cors_origins, &parts.headers, response.headers_mut());
    response
}

/// The ids of what was published, a line each.
async fn publish(hub: &Hub, parts: &Parts, body: Body, body_time: Duration) -> Result<String, Problem> {
    let publisher = hub.access.publisher(parts, SystemTime::now())?;
    let body = tokio::time::timeout(body_time, to_bytes(body, hub.limits.body)).await;
    let body = body
        .map_err(|_| Problem::new(ProblemKind::Timeout, format!("the body was not there within {body_time:?}")))?
        .map_err(|_| {
            let most = hub.limits.body;
            Problem::new(ProblemKind::TooLarge, format!("the body has more than {most} bytes, or did not come whole"))
        })?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let records = if content_type.is_some_and(|media| media.starts_with("application/x-ndjson")) {
        publications_ndjson(content_type, &body, &hub.path, &hub.limits)?
    } else {
        vec![publication(content_type, &body, &hub.path, &hub.limits)?]
    };
    for record in &records {
        publisher.check(record)?;
    }
    hub.publish(records).await.map(|ids| ids.join("\n"))
}

async fn subscribe(hub: &Hub, mut parts: Parts) -> Result<Response, Response> {
    let refuse = |problem: Problem, headers: &HeaderMap| {
        let mut response = answer(&problem);
        cors::answer(&hub.access.cors_origins, headers, response.headers_mut());
        response
    };
    let now = SystemTime::now();
    let head = parts.method == Method::HEAD;
    parts.method = Method::GET;
    let read = Subscribe::read(&parts, &hub.access, &hub.limits, now);
    let subscribe = read.map_err(|problem| refuse(problem, &parts.headers))?;
    let granted = hub.resolve(&parts, subscribe, now, None).await;
    let Granted { headers, subscription } = granted.map_err(|problem| refuse(problem, &parts.headers))?;
    let body = if head { Body::empty() } else { Body::new(hub.fanout.subscribe_body(subscription)) };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

fn preflight(hub: &Hub, parts: &Parts) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    cors::preflight(&hub.access.cors_origins, &parts.headers, response.headers_mut());
    response
}

/// The active subscriptions.
async fn active(State(Context { hub, .. }): State<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return preflight(&hub, &parts);
    }
    let mut response = match list(&hub, &parts).await {
        Ok(response) => response.map(Body::from),
        Err(problem) => answer(&problem),
    };
    cors::answer(&hub.access.cors_origins, &parts.headers, response.headers_mut());
    response
}

async fn list(hub: &Hub, parts: &Parts) -> Result<http::Response<Bytes>, Problem> {
    let Some(active) = &hub.active else {
        return Err(Problem::new(ProblemKind::NotFound, "this hub does not tell who is subscribed: start it with --subscriptions"));
    };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Problem::new(ProblemKind::MethodNotAllowed("GET, HEAD, OPTIONS"), "subscriptions can only be read"));
    }
    let what = subscriptions::Request::read(parts, &hub.path)?;
    what.authorise(&hub.access, parts, SystemTime::now())?;
    let bounds = hub.log.bounds().await.map_err(|error| Problem::new(ProblemKind::Unavailable, error.to_string()))?;
    let last = (bounds.records > 0).then(|| hub.ids.id(bounds.last));
    what.answer(&active.list(what.topic(), what.subscriber()), last.as_deref(), &parts.headers)
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(Context { hub, .. }): State<Context>) -> Response {
    let log = hub.log.bounds().await;
    match log {
        _ if hub.is_ending() => answer(&Problem::new(ProblemKind::Unavailable, "this hub is ending")),
        Err(error) => answer(&Problem::new(ProblemKind::Unavailable, error.to_string())),
        Ok(_) => "ready\n".into_response(),
    }
}

async fn metrics(registry: Arc<Registry>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => (
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => answer(&Problem::new(ProblemKind::Internal, format!("the metrics cannot be shown: {error}"))),
    }
}

fn answer(problem: &Problem) -> Response {
    problem.response().map(Body::from)
}
