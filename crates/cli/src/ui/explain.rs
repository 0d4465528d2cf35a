//! Explanations why a token is refused, for the hub's page.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use serde::Deserialize;
use ssekit_hub::http::refusal;
use ssekit_mercure::{
    Access, Action, Check, Explanation, Object, Problem, ProblemKind, explain as explained,
};

use super::state::{PageState, json};

/// Maximum size of a question in bytes.
pub(super) const MAX_BODY: usize = 64 << 10;
/// Maximum number of topics of a question.
const MAX_TOPICS: usize = 100;

/// Question about a token. It has no debug output, because it contains the token.
#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(default)]
    token: String,
    action: Wanted,
    #[serde(default)]
    topics: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Publish,
    Subscribe,
}

impl Wanted {
    fn action(self) -> Action {
        match self {
            Self::Publish => Action::Publish,
            Self::Subscribe => Action::Subscribe,
        }
    }
}

/// Makes the checks of a token.
///
/// A page of another site cannot ask: a JSON request from elsewhere needs a permission that is not given.
pub(super) async fn explain(
    State(state): State<PageState>,
    question: Result<Json<Object<Question>>, JsonRejection>,
) -> Response {
    let access = state.hub.access();
    if let Ok(Json(Object(Question { token, action, .. }))) = &question
        && let Some(renewal) = state.hub.renewal_for(token.trim(), action.action())
    {
        // As for a request with this token.
        renewal.renewed().await;
    }
    match question.as_ref().map_err(unreadable).and_then(|Json(Object(question))| answer(question, access)) {
        Ok(explanation) => json(explanation),
        Err(problem) => refusal(&problem),
    }
}

fn unreadable(rejection: &JsonRejection) -> Problem {
    let kind = match rejection.status().as_u16() {
        413 => ProblemKind::TooLarge,
        415 => ProblemKind::UnsupportedMediaType,
        _ => ProblemKind::Malformed,
    };
    // The text of other problems might repeat a part of the token.
    let words = match kind {
        ProblemKind::TooLarge => format!("the request body has more than {MAX_BODY} bytes"),
        _ => "the request body must be JSON: {\"token\": …, \"action\": \"publish\" or \"subscribe\", \
              \"topics\": […]}"
            .to_owned(),
    };
    Problem::new(kind, words)
}

fn answer(question: &Question, access: &Access) -> Result<Explanation, Problem> {
    let topics: Vec<&str> =
        question.topics.iter().map(|topic| topic.trim()).filter(|topic| !topic.is_empty()).collect();
    if topics.len() > MAX_TOPICS {
        let words = format!("the request has {} topics; the limit is {MAX_TOPICS}", topics.len());
        return Err(Problem::new(ProblemKind::TooLarge, words));
    }
    let token = question.token.trim();
    let action = question.action.action();
    let keys = match action {
        Action::Publish => &access.publishers,
        Action::Subscribe => &access.subscribers,
    };
    if access.open && keys.is_empty() {
        let (header, claims) = match token {
            "" => (None, None),
            _ => {
                let read = explained(token, access, action, &[], SystemTime::now());
                (read.header, read.claims)
            }
        };
        let words = "the hub runs with --dev and has no key for this action: everyone is allowed, and \
                     tokens are not checked";
        return Ok(Explanation { allowed: true, checks: vec![check(true, words)], header, claims });
    }
    if token.is_empty() {
        return Ok(without_token(question.action, access, !topics.is_empty()));
    }
    Ok(explained(token, access, action, &topics, SystemTime::now()))
}

/// Explanation for a client without a token.
fn without_token(wanted: Wanted, access: &Access, private: bool) -> Explanation {
    let (allowed, words) = match wanted {
        Wanted::Publish if access.open => {
            (true, "no token; the hub runs with --dev, so publishing needs none")
        }
        Wanted::Publish => (false, "no token; publishing needs a token"),
        Wanted::Subscribe if !access.anonymous => (
            false,
            "no token; subscribing to this hub needs a token, because it was started without --anonymous",
        ),
        Wanted::Subscribe if private => {
            (false, "no token; anonymous subscribers read public updates only, no private ones")
        }
        Wanted::Subscribe => (true, "no token; anonymous subscribers may read public updates"),
    };
    Explanation { allowed, checks: vec![check(allowed, words)], header: None, claims: None }
}

fn check(passed: bool, detail: &str) -> Check {
    Check { name: "token", passed, detail: detail.to_owned() }
}
