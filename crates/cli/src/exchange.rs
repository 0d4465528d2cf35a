//! One HTTP request and its whole response: trusted authorities, a limited body, the reason of a refusal.

use std::path::Path;

use anyhow::{Context as _, Error};
use futures_util::StreamExt as _;
use serde::Deserialize;
use ssekit_client::{Body, Http, TransportError};

/// Longest body of a response, in bytes: the ids of a batch.
const MAX_BODY: usize = 1 << 20;
/// Longest part of a body that is no problem document in a message, in characters.
const MAX_SHOWN: usize = 200;

/// An HTTP client that also trusts the certificate authorities in this PEM file.
pub(crate) fn http_client(ca: Option<&Path>) -> Result<Http, Error> {
    let Some(path) = ca else { return Ok(Http::new()) };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Http::new()
        .root_certificate(&pem)
        .with_context(|| format!("cannot use the certificates in {}", path.display()))
}

/// The whole body as text.
pub(crate) async fn read(mut body: Body) -> Result<String, TransportError> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > MAX_BODY {
            return Err(TransportError::new("the response is longer than 1 MiB"));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A problem document (RFC 9457); empty if the body is none.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

impl Problem {
    /// Reads the body of a response.
    pub(crate) fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Title and detail, or the start of a body that is no problem document.
    pub(crate) fn reason(&self, body: &str) -> String {
        let parts = [&self.title, &self.detail].map(Option::as_deref).into_iter().flatten();
        let reason = parts.collect::<Vec<_>>().join(": ");
        if reason.is_empty() { body.trim().chars().take(MAX_SHOWN).collect() } else { reason }
    }
}
