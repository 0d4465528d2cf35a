//! [`Produce`] as a reply of warp, [`LastEventId::filter`], and [`Streams::around`].

use std::convert::Infallible;

use http::StatusCode;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection, header, query};

use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;
use crate::streams::Streams;

impl Reply for Produce {
    fn into_response(self) -> Response {
        let (parts, body) = self.response().into_parts();
        let mut response = warp::reply::stream(body).into_response();
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers;
        response
    }
}

impl LastEventId {
    /// The request's id as a filter of warp (feature `warp`). It never rejects, which would try other routes:
    /// the handler returns the error, which is a reply.
    ///
    /// ```
    /// use ssekit::{LastEventId, Produce, produce};
    /// use warp::Filter;
    ///
    /// fn events(last: LastEventId) -> Produce {
    ///     produce(move |stream| stream.emit("message", last.as_str().unwrap_or("all")).unwrap_or_default())
    /// }
    /// let route = warp::path("events").and(LastEventId::filter());
    /// let route = route.map(|last: Result<_, _>| last.map(events));
    /// # let _ = warp::service(route);
    /// ```
    pub fn filter() -> impl Filter<Extract = (Result<Self, InvalidLastEventId>,), Error = Infallible> + Copy {
        let query = query::raw().or(warp::any().map(String::new)).unify();
        header::headers_cloned().and(query).map(|headers: http::HeaderMap, query: String| {
            Self::read(|name| Some(headers.get(name)?.as_bytes()), Some(&query))
        })
    }
}

impl Streams {
    /// Counts each stream that these routes reply with (feature `warp`), as [`scope`](Self::scope) does.
    ///
    /// ```
    /// use ssekit::{Streams, produce};
    /// use warp::Filter;
    ///
    /// let streams = Streams::new();
    /// let events = warp::path("events").map(|| produce(|stream| { /* keep it */ drop(stream) }));
    /// let routes = streams.around(events);
    /// # let _ = warp::service(routes);
    /// ```
    pub fn around<F, R>(
        &self,
        routes: F,
    ) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<F, R>
    where
        F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
        R: Reply,
    {
        let streams = self.clone();
        routes.map(move |reply: R| streams.scope_sync(|| reply.into_response()))
    }
}

/// 400 Bad Request.
impl Reply for InvalidLastEventId {
    fn into_response(self) -> Response {
        warp::reply::with_status(self.to_string(), StatusCode::BAD_REQUEST).into_response()
    }
}
