//! [`Produce`] as the result of a salvo handler, [`LastEventId`] as an extractor, and [`Streams`] as a hoop.

use std::sync::LazyLock;

use http::StatusCode;
use salvo_core::extract::{Extractible, Metadata};
use salvo_core::http::ResBody;
use salvo_core::{Depot, FlowCtrl, Handler, Request, Response, Scribe, async_trait};

use crate::last_event_id::{InvalidLastEventId, LastEventId};
use crate::produce::Produce;
use crate::streams::Streams;

impl Scribe for Produce {
    fn render(self, response: &mut Response) {
        let (parts, body) = self.response().into_parts();
        response.status_code(parts.status);
        response.headers_mut().extend(parts.headers);
        response.body(ResBody::stream(body));
    }
}

impl<'ex> Extractible<'ex> for LastEventId {
    fn metadata() -> &'static Metadata {
        static METADATA: LazyLock<Metadata> = LazyLock::new(|| Metadata::new("LastEventId"));
        &METADATA
    }

    #[expect(refining_impl_trait, reason = "which error it is helps who calls it by hand")]
    async fn extract(request: &'ex mut Request, _depot: &'ex mut Depot) -> Result<Self, InvalidLastEventId> {
        Self::read(|name| Some(request.headers().get(name)?.as_bytes()), request.uri().query())
    }
}

/// 400 Bad Request.
impl Scribe for InvalidLastEventId {
    fn render(self, response: &mut Response) {
        response.status_code(StatusCode::BAD_REQUEST);
        response.render(self.to_string());
    }
}

/// Counts each stream of the handlers behind it, as [`Streams::scope`] does.
#[async_trait]
impl Handler for Streams {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        control: &mut FlowCtrl,
    ) {
        self.scope(control.call_next(request, depot, response)).await;
    }
}
