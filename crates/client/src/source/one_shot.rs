//! Requests that are made once, as for the answer of a language model.

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::{Source, unsendable};
use crate::Reconnect;

impl Source {
    /// Sends this token in the header `authorization` (RFC 6750). For tokens that expire while a connection
    /// comes back, see [`headers_from`](Self::headers_from).
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// Sends this value as the [body](Self::body), as JSON and with the `content-type` of JSON: a POST unless
    /// another method is set.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(body);
        self.change_request(|request| {
            let body = body.map_err(|error| unsendable("the body".to_owned(), error))?;
            request.set_header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = Some(body.into());
            Ok(())
        })
    }

    /// Makes one request on a connection of its own: it is not repeated, and the end of the response is the
    /// end.
    ///
    /// The same as [`Reconnect::never`] and [`share(false)`](Self::share). A response that is cut is an
    /// error; one that ends too early, without an error, is recognized by [`until`](crate::Select::until).
    ///
    /// ```no_run
    /// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let messages = serde_json::json!([{ "role": "user", "content": "hello" }]);
    /// let request = serde_json::json!({ "stream": true, "messages": messages });
    /// let answer = ssekit::source("http://localhost:8080/v1/chat/completions")
    ///     .bearer(token)
    ///     .json(&request)
    ///     .once();
    /// answer.open().await?; // the head of the response; a 401 is an error here
    /// let mut chunks = answer.select("message").until("[DONE]").json::<serde_json::Value>();
    /// while let Some(chunk) = chunks.next().await {
    ///     print!("{}", chunk?["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("oneshot", "no_retry"))]
    pub fn once(self) -> Self {
        self.reconnect(Reconnect::never()).share(false)
    }
}
