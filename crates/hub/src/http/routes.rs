//! Routes: the answers to requests that hyper or another program's server has read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_response_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http_body::Body as _;
use ssekit_log::IdempotencyKey;
use ssekit_mercure::subscriptions::{self, Asked};
use ssekit_mercure::{
    IDEMPOTENCY_KEY_LIFETIME, Problem, ProblemKind, Publisher, cors, discovery, publication,
    publications_ndjson, shown,
};
use ssekit_wire::media_type;

use super::Pages;
use super::activity::Open;
use super::bodies::{Bodies, NoRoom, metered};
use super::head::{self, HeadLimit};
use super::metrics::MetricsPage;
use super::own_host::own_host_only;
use super::rate_limit::TokenBucket;
use super::rejections::Rejections;
use super::strict::strict;
use crate::active_subscriptions::Listed;
use crate::hub::{Batch, Granted, Hub, accepts_stream, read_problem};

/// Shared state of the routes.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) hub: Arc<Hub>,
    /// Maximum bytes of a request head.
    pub(super) head_size: usize,
    pub(super) body_time: Duration,
    pub(super) bodies: Arc<Bodies>,
    pub(super) rate: Option<Arc<TokenBucket>>,
    pub(super) rejections: Arc<Rejections>,
}

/// Returns the routes of the hub alone, for another program.
pub(super) fn of_hub(context: Context) -> Router {
    let (rejections, bodies) = (Arc::clone(&context.rejections), Arc::clone(&context.bodies));
    hub_routes(&context.hub.path)
        .with_state(context)
        .route_layer(from_fn_with_state(bodies, metered))
        .route_layer(map_response_with_state(rejections, count_problems))
}

fn hub_routes(path: &str) -> Router<Context> {
    Router::new()
        .route(path, axum::routing::any(hub_endpoint))
        .route(&format!("{path}/subscriptions"), axum::routing::any(active))
        .route(&format!("{path}/subscriptions/{{*of}}"), axum::routing::any(active))
}

/// Returns all routes of a [`Server`](super::Server).
pub(super) fn router(context: Context, metrics_page: Option<MetricsPage>, pages: Option<Pages>) -> Router {
    let path = context.hub.path.clone();
    let mut there = vec![path.clone(), "/healthz".to_owned(), "/readyz".to_owned()];
    let mut router = hub_routes(&path).route("/healthz", get(healthy)).route("/readyz", get(ready));
    if let Some(metrics_page) = metrics_page.map(Arc::new) {
        let show = move |State(context): State<Context>, headers: HeaderMap| async move {
            metrics_page.show(&context.hub, &headers).await
        };
        router = router.route("/metrics", get(show));
        there.push("/metrics".to_owned());
    }
    let (rejections, bodies) = (Arc::clone(&context.rejections), Arc::clone(&context.bodies));
    let checked = context.clone();
    let head_limit = HeadLimit { hub: Arc::clone(&context.hub), bytes: context.head_size };
    let hub = Arc::clone(&context.hub);
    let Pages { router: pages, at, names } = pages.unwrap_or_default();
    there.extend(at.into_iter().map(str::to_owned));
    let there: Arc<str> = there.join(", ").into();
    let mut pages = pages
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(move |request: Request| async move { not_found(&hub, &request.into_parts().0, &there) });
    if let Some(names) = names {
        pages = pages.layer(from_fn_with_state(names, own_host_only));
    }
    let router = router.method_not_allowed_fallback(method_not_allowed).with_state(context).merge(pages);
    let router = router.layer(from_fn_with_state(bodies, metered));
    let router = router.layer(from_fn_with_state(checked, strict));
    let router = router.layer(from_fn_with_state(head_limit, head::within));
    router.layer(map_response_with_state(rejections, count_problems))
}

/// Answers 404 with the list of paths. A preflight is granted, so that a page can read the 404 that follows.
fn not_found(hub: &Hub, parts: &Parts, paths: &str) -> Response {
    if cors::is_preflight(parts) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        cors::allow_request(parts, &hub.access.cors_origins, response.headers_mut());
        return response;
    }
    let what = format!("no resource at {}; the paths of this server are: {paths}", shown(parts.uri.path()));
    refused(hub, parts, &Problem::new(ProblemKind::NotFound, what))
}

/// Answers 405; the router adds the header `Allow`.
async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let what = format!(
        "the method {method} is not supported at {}; the header Allow lists the supported methods",
        shown(uri.path())
    );
    refusal(&Problem::new(ProblemKind::MethodNotAllowed(""), what))
}

/// Counts an answer that is a problem.
async fn count_problems(State(rejections): State<Arc<Rejections>>, response: Response) -> Response {
    if let Some(problem) = response.extensions().get::<Problem>() {
        rejections.request(problem);
    }
    response
}

async fn hub_endpoint(State(context): State<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Context { hub, body_time, .. } = &context;
    let (hub, body_time) = (Arc::clone(hub), *body_time);
    match parts.method {
        Method::GET | Method::HEAD => subscribe(&context, parts).await.unwrap_or_else(|problem| problem),
        Method::OPTIONS => {
            let mut response = preflight(&hub, &parts, OF_HUB);
            // Clients repeat a publication only if the hub remembers its key.
            let lifetime = HeaderValue::from(IdempotencyKey::LIFETIME.as_secs());
            response.headers_mut().insert(IDEMPOTENCY_KEY_LIFETIME, lifetime);
            response
        }
        Method::POST => {
            let ids = publish(&hub, &parts, body, body_time).await;
            ids_or_problem(&hub, &parts, ids).map(Body::from)
        }
        _ => {
            let what = format!(
                "the hub does not support the method {}: use GET to subscribe and POST to publish",
                parts.method
            );
            refused(&hub, &parts, &Problem::new(ProblemKind::MethodNotAllowed(OF_HUB), what))
        }
    }
}

/// Answer to a publication: the ids, one per line, or the problem.
pub(super) fn ids_or_problem(
    hub: &Hub,
    request: &Parts,
    ids: Result<Vec<String>, Problem>,
) -> http::Response<Bytes> {
    let mut response = match ids {
        Ok(ids) => {
            let mut response = http::Response::new(Bytes::from(ids.join("\n")));
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text);
            response
        }
        Err(problem) => answer(&with_hint(hub, request, problem)),
    };
    cors::allow_reading(request, &hub.access.cors_origins, response.headers_mut());
    response
}

/// Adds a hint to the problem of a publication whose client accepts an event stream, which no POST gets here.
fn with_hint(hub: &Hub, request: &Parts, mut problem: Problem) -> Problem {
    if problem.status().is_client_error() && accepts_stream(request) {
        let hint = format!(
            ". A POST publishes, but this request accepts text/event-stream: to subscribe, send GET \
             {}?topic=…",
            hub.path
        );
        problem.detail.push_str(&hint);
    }
    problem
}

/// Reads the updates of a publication, and checks that the publisher may publish them.
pub(super) fn batch(
    hub: &Hub,
    publisher: &Publisher,
    request: &Parts,
    body: &[u8],
) -> Result<Batch, Problem> {
    check_encoding(&request.headers)?;
    let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let records = if content_type.is_some_and(|value| media_type::is(value, "application/x-ndjson")) {
        publications_ndjson(content_type, body, &hub.path, &hub.limits)?
    } else {
        vec![publication(content_type, body, &hub.path, &hub.limits)?]
    };
    records.iter().try_for_each(|record| publisher.check(record))?;
    let key = hub.access.idempotency_key(request, publisher, body)?;
    Ok(Batch { records, key })
}

/// Refuses a compressed publication.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings =
        headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
    let mut encodings = encodings.flat_map(|value| value.split(',')).map(str::trim);
    match encodings.find(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")) {
        None => Ok(()),
        Some(encoding) => Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            format!(
                "the body has the content encoding {}, which the hub does not support: send it \
                 uncompressed, without the header Content-Encoding",
                shown(encoding)
            ),
        )),
    }
}

/// Publishes the updates of a request whose body has not been read, and returns their ids.
async fn publish(hub: &Hub, parts: &Parts, body: Body, body_time: Duration) -> Result<Vec<String>, Problem> {
    // A client that may not publish gets its answer before the body is read.
    let publisher = hub.publisher(parts).await?;
    let late =
        || Problem::new(ProblemKind::Timeout, format!("the body was not complete within {body_time:?}"));
    let body = tokio::time::timeout(body_time, whole(body, hub.limits.body)).await.map_err(|_| late())??;
    hub.access.still(&publisher, SystemTime::now())?;
    hub.publish_batch(batch(hub, &publisher, parts, &body)?).await
}

/// Reads a complete body.
async fn whole(body: Body, most: usize) -> Result<BytesMut, Problem> {
    let too_large = |bytes: u64| {
        Problem::new(
            ProblemKind::TooLarge,
            format!("the body has at least {bytes} bytes; the limit is {most}"),
        )
    };
    // The announced length is checked before any of the body is awaited.
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(too_large(announced));
    }
    let mut bytes = BytesMut::new();
    let mut body = body.into_data_stream();
    while let Some(data) = body.next().await {
        let data = data.map_err(|error| unread(&error))?;
        let length = bytes.len() + data.len();
        if length > most {
            return Err(too_large(length as u64));
        }
        if length > bytes.capacity() {
            bytes.reserve(data.len().max(bytes.len().min(most - bytes.len())));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Problem of a body that could not be read.
fn unread(error: &(dyn std::error::Error + 'static)) -> Problem {
    let causes: Vec<_> = std::iter::successors(Some(error), |error| error.source()).collect();
    if let Some(none) = causes.iter().find_map(|error| error.downcast_ref::<NoRoom>()) {
        return none.problem();
    }
    // The last cause is the most exact: an invalid chunk, or the end of the input.
    let why = causes.last().map(ToString::to_string).unwrap_or_default();
    Problem::new(ProblemKind::Malformed, format!("cannot read the body: {why}"))
}

async fn subscribe(context: &Context, parts: Parts) -> Result<Response, Response> {
    let Context { hub, rate, rejections, .. } = context;
    let refuse = |problem: Problem, parts: &Parts| refused(hub, parts, &problem);
    let head = parts.method == Method::HEAD;
    let later = |retry: Duration, parts: &Parts| {
        let mut response = retry_later(retry).map(Body::from);
        cors::allow_reading(parts, &hub.access.cors_origins, response.headers_mut());
        response
    };
    let subscribe = match hub.asked(&parts).await {
        Ok(subscribe) => subscribe,
        // A browser gives up for good on any status but 200 (HTML, section 9.2.3).
        Err(Problem { kind: ProblemKind::Unavailable, retry_after: Some(wait), .. })
            if accepts_stream(&parts) =>
        {
            return Ok(later(wait + hub.retry(), &parts));
        }
        Err(problem) => return Err(refuse(problem, &parts)),
    };
    let too_fast = rate.as_ref().filter(|rate| !rate.take(Instant::now()));
    if let Some(rate) = too_fast {
        rejections.turned_away("limits.connects_per_second", rate.per_second().into());
    }
    let open = parts.extensions.get::<Arc<Open>>();
    let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = open.map_or_else(|| connected.map(|ConnectInfo(peer)| peer.ip()), |open| open.peer());
    let stream = open.map(|open| open.subscribe()).transpose();
    if let Err(taken) = &stream {
        rejections.turned_away(taken.limit, taken.most as u64);
    }
    if too_fast.is_some() || stream.is_err() || hub.is_ending() {
        return Ok(later(hub.retry(), &parts));
    }
    let granted = hub.resolve(&parts, subscribe, Some(Box::new(stream))).await;
    let Granted { headers, subscription } = granted.map_err(|problem| refuse(problem, &parts))?;
    let body = if head { Body::empty() } else { Body::new(hub.fanout.subscribe_body(subscription, peer)) };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// Answers `OPTIONS` with the methods (RFC 9110, section 9.3.7).
///
/// A page of another origin also gets the permitted headers.
fn preflight(hub: &Hub, parts: &Parts, methods: &'static str) -> Response {
    let mut response = (StatusCode::NO_CONTENT, [(header::ALLOW, methods)]).into_response();
    cors::allow_request(parts, &hub.access.cors_origins, response.headers_mut());
    response
}

/// Answers a request of the subscription API.
async fn active(State(Context { hub, .. }): State<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return preflight(&hub, &parts, OF_SUBSCRIPTIONS);
    }
    let mut response = match list(&hub, &parts).await {
        Ok(response) => response.map(Body::from),
        Err(problem) => refusal(&problem),
    };
    cors::allow_reading(&parts, &hub.access.cors_origins, response.headers_mut());
    response
}

async fn list(hub: &Hub, parts: &Parts) -> Result<http::Response<Bytes>, Problem> {
    let Some(active) = &hub.active else {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "this hub does not report its subscriptions: start it with --subscriptions",
        ));
    };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Problem::new(
            ProblemKind::MethodNotAllowed(OF_SUBSCRIPTIONS),
            "subscriptions are read-only: use GET",
        ));
    }
    let path = parts.uri.path();
    let Some(asked) = Asked::read(path, &hub.path)? else {
        return Err(Problem::new(ProblemKind::NotFound, "the subscription API has no resource at this path"));
    };
    let token = hub.reader(parts).await?;
    subscriptions::authorize(path, token.as_deref())?;
    let bounds = hub.log.bounds().await.map_err(|error| read_problem(&error))?;
    // The id is read before the subscriptions: a client that continues after it gets the events of every
    // later change.
    let last = hub.newest(&bounds);
    let after = subscriptions::after(parts.uri.query())?;
    let Listed { subscriptions: found, next, state } = active.list(&asked, after.as_deref());
    let body = match (&asked, &found[..]) {
        (Asked::One { .. }, []) => {
            return Err(Problem::new(
                ProblemKind::NotFound,
                "the subscription does not exist, or it has ended",
            ));
        }
        (Asked::One { .. }, [one, ..]) => one.json(&hub.path, &last),
        _ => subscriptions::collection(path, &hub.path, &last, &found, next.as_deref()),
    };
    let etag = subscriptions::etag(&format!("{last}/{state:x}/{}", after.unwrap_or_default()));
    let current = subscriptions::is_current(&parts.headers, &etag);
    let mut response = http::Response::new(if current { Bytes::new() } else { Bytes::from(body) });
    if current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(subscriptions::CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, must-revalidate"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ETAG, etag);
    discovery::link_after(&hub.path, &last, subscriptions::CONTENT_TYPE, headers);
    Ok(response)
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(Context { hub, .. }): State<Context>) -> Response {
    let log = hub.log.health().await;
    match log {
        _ if hub.is_ending() => refusal(&Problem::new(ProblemKind::Unavailable, "the hub is shutting down")),
        Err(error) => refusal(&read_problem(&error)),
        Ok(_) if hub.awaits_keys() => {
            let words = "no keys were fetched from the URL of `jwks` yet: the log has the reason and the time of the next attempt";
            refusal(&Problem::new(ProblemKind::Unavailable, words))
        }
        Ok(_) => "ready\n".into_response(),
    }
}

/// Response of a problem, with CORS headers.
pub(super) fn refused(hub: &Hub, request: &Parts, problem: &Problem) -> Response {
    let mut response = refusal(problem);
    cors::allow_reading(request, &hub.access.cors_origins, response.headers_mut());
    response
}

/// Response of a problem, of a route.
pub fn refusal(problem: &Problem) -> Response {
    answer(problem).map(Body::from)
}

/// Response of a problem, which the response carries so that it can be counted.
fn answer(problem: &Problem) -> http::Response<Bytes> {
    let mut response = problem.response();
    response.extensions_mut().insert(problem.clone());
    response
}

/// Stream with nothing but a `retry:`: browsers give up on any other answer.
pub(super) fn retry_later(retry: Duration) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(format!("retry: {}\n\n", retry.as_millis())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Methods of the hub's path, and of the subscription API.
const OF_HUB: &str = "GET, HEAD, POST, OPTIONS";
const OF_SUBSCRIPTIONS: &str = "GET, HEAD, OPTIONS";
