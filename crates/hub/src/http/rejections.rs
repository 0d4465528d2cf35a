//! Counts and logs rejected connections and requests.

use std::error::Error;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use ssekit_mercure::{Problem, ProblemKind};

use crate::log_limit::LogLimit;

/// Counts rejected connections and requests, and logs them rate-limited.
///
/// Peers control the number of rejections.
#[derive(Debug)]
pub(super) struct Rejections {
    connections: Family<ByReason, Counter>,
    requests: Family<ByProblem, Counter>,
    pub(super) turned_away: Counter,
    pub(super) exhausted: Counter,
    log_limit: LogLimit,
}

/// Reason why a connection without a valid request was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectReason {
    /// It sent nothing.
    Silent,
    /// Its head was incomplete in time.
    Slow,
    /// The head of its request had too many bytes or lines.
    Head,
    /// It did not send HTTP.
    Malformed,
    /// It was idle when another connection needed its permit.
    Evicted,
    /// It sent too many HTTP/2 frames without a request.
    Flooded,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProblem {
    problem: &'static str,
}

impl Rejections {
    /// Registers the counters.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let rejections = Self {
            connections: Family::default(),
            requests: Family::default(),
            turned_away: Counter::default(),
            exhausted: Counter::default(),
            log_limit: LogLimit::default(),
        };
        for refused in [
            RejectReason::Silent,
            RejectReason::Slow,
            RejectReason::Head,
            RejectReason::Malformed,
            RejectReason::Evicted,
            RejectReason::Flooded,
        ] {
            // So each counter is shown from the start.
            drop(rejections.connections.get_or_create(&ByReason { reason: refused.name() }));
        }
        let Self { connections, requests, turned_away, exhausted, .. } = &rejections;
        registry.register(
            "connections_refused",
            "Connections closed before a complete request, by reason",
            connections.clone(),
        );
        registry.register(
            "connections_turned_away",
            "Connections and subscriptions refused with a retry time, because a connection limit or the \
             rate limit was reached",
            turned_away.clone(),
        );
        registry.register(
            "connections_exhausted",
            "Connections refused because the process had no free file descriptor",
            exhausted.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests answered with an error, by problem type",
            requests.clone(),
        );
        rejections
    }

    pub(super) fn connection(&self, refused: RejectReason) {
        self.connections.get_or_create(&ByReason { reason: refused.name() }).inc();
        let limit = match refused {
            RejectReason::Silent | RejectReason::Slow => "limits.head_time",
            RejectReason::Head => "limits.head_size",
            RejectReason::Malformed | RejectReason::Flooded => "",
            RejectReason::Evicted => "limits.connections",
        };
        if let Some(count) = self.log_limit.due(refused.name(), LogLimit::SELDOM, Instant::now()) {
            tracing::warn!(
                reason = refused.name(),
                limit,
                count,
                "closing connections that are idle or sent no valid HTTP request"
            );
        }
    }

    pub(super) fn request(&self, problem: &Problem) {
        let name = problem.kind.name();
        self.requests.get_or_create(&ByProblem { problem: name }).inc();
        tracing::debug!(problem = name, detail = problem.detail, "request refused");
        let is_of_access = matches!(
            problem.kind,
            ProblemKind::InvalidToken
                | ProblemKind::InsufficientScope
                | ProblemKind::ForeignOrigin
                | ProblemKind::WrongHost
        );
        if is_of_access && let Some(count) = self.log_limit.due(name, LogLimit::SELDOM, Instant::now()) {
            tracing::info!(
                problem = name,
                count,
                detail = problem.detail,
                "requests refused; the detail is that of the last one"
            );
        }
    }

    pub(super) fn turned_away(&self, limit: &'static str, most: u64) {
        self.turned_away.inc();
        if let Some(count) = self.log_limit.due(limit, LogLimit::OFTEN, Instant::now()) {
            tracing::warn!(
                limit,
                max = most,
                count,
                "limit reached: new clients are told to retry; raise {limit}, or the limit of open \
                 files, if this machine can handle more"
            );
        }
    }

    pub(super) fn exhausted(&self, error: &std::io::Error) {
        self.exhausted.inc();
        if let Some(count) = self.log_limit.due("exhausted", LogLimit::OFTEN, Instant::now()) {
            tracing::error!(
                %error,
                count,
                "no free file descriptor: new connections are refused; raise the limit (`ulimit -n`, \
                 LimitNOFILE= of systemd) or lower limits.connections"
            );
        }
    }
}

impl RejectReason {
    /// Reason of a hyper error that concerns the input of the peer.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let error = error.downcast_ref::<hyper::Error>()?;
        if error.is_timeout() {
            Some(Self::Slow)
        } else if error.is_parse_too_large() {
            Some(Self::Head)
        } else if error.is_parse() {
            Some(Self::Malformed)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Head => "head",
            Self::Malformed => "malformed",
            Self::Evicted => "evicted",
            Self::Flooded => "flooded",
        }
    }
}
