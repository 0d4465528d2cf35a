//! `ssekit listen` repeats a request only as the table of all clients allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::program::{run, ssekit};

/// Server that gives each request this response, and counts requests.
struct Counting {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Reply {
    /// Complete stream.
    Stream(&'static str),
    Status(u16),
}

impl Counting {
    fn new(http2: bool, reply: Reply) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("an address")).expect("it is waited for");
                loop {
                    let (stream, _) = listener.accept().await.expect("a client comes");
                    let count = Arc::clone(&count);
                    let service = service_fn(move |request: Request<Incoming>| {
                        let count = Arc::clone(&count);
                        async move {
                            let body = request.into_body().collect().await?.to_bytes();
                            assert_eq!(body, "{\"a\":1}");
                            count.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, hyper::Error>(reply.response())
                        }
                    });
                    let stream = TokioIo::new(stream);
                    tokio::spawn(async move {
                        let _ = if http2 {
                            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            http.serve_connection(stream, service).await
                        } else {
                            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
                        };
                    });
                }
            });
        });
        Self { addr: told.recv().expect("it listens"), requests }
    }

    /// Sends a POST with these options; returns the exit code, the number of requests, and the output.
    fn listen(&self, options: &[&str]) -> (Option<i32>, usize, String, String) {
        let mut command = ssekit();
        command.args(["listen", "--json", "{\"a\":1}", &format!("http://{}/", self.addr)]);
        let output = run(command.args(["--timeout", "8"]).args(options));
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let requests = self.requests.load(Ordering::Relaxed);
        (output.status.code(), requests, text(output.stdout), text(output.stderr))
    }
}

impl Reply {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, body) = match self {
            Self::Stream(body) => (200, body),
            Self::Status(status) => (status, ""),
        };
        Response::builder()
            .status(status)
            .header("content-type", "text/event-stream")
            .body(Full::new(Bytes::from(body)))
            .expect("a response")
    }
}

const THREE: &str = "id: 1\ndata: a\n\ndata: b\n\ndata: c\n\n";

#[test]
fn a_post_that_was_answered_is_sent_once() {
    let text = "id: 1\nevent: message\ndata: a\n\nevent: message\ndata: b\n\nevent: message\ndata: c\n\n";
    let json: String = ["a", "b", "c"]
        .map(|data| format!("{{\"event\":\"message\",\"data\":\"{data}\",\"id\":\"1\"}}\n"))
        .concat();
    for http2 in [false, true] {
        for (form, expected) in [("text", text), ("json", &json)] {
            let server = Counting::new(http2, Reply::Stream(THREE));
            let protocol: &[&str] = if http2 { &["--http2-prior-knowledge"] } else { &[] };
            let (code, requests, printed, errors) =
                server.listen(&[&["-o", form, "--quiet"][..], protocol].concat());
            assert_eq!((code, requests, errors.as_str()), (Some(0), 1, ""), "{form}, HTTP/2: {http2}");
            assert_eq!(printed, expected);
        }
    }
}

#[test]
fn a_post_is_repeated_if_the_server_or_the_caller_asks_for_it() {
    for (stream, options) in [("retry: 1\ndata: a\n\n", &[][..]), ("data: a\n\n", &["--repeat"])] {
        let server = Counting::new(false, Reply::Stream(stream));
        let (code, requests, printed, errors) = server.listen(&[&["-o", "raw", "-n", "2"], options].concat());
        assert_eq!((code, requests, printed.as_str()), (Some(0), 2, "a\na\n"), "{errors}");
    }
}

#[test]
fn a_post_that_may_have_had_an_effect_is_reported_and_not_repeated() {
    for http2 in [false, true] {
        let server = Counting::new(http2, Reply::Status(502));
        let protocol: &[&str] = if http2 { &["--http2-prior-knowledge"] } else { &[] };
        let (code, requests, _, errors) = server.listen(protocol);
        assert_eq!((code, requests), (Some(22), 1), "{errors}");
        assert_eq!(
            errors,
            "ssekit: the request was not repeated, because it may have had an effect: the server answered \
             502 Bad \
             Gateway; --repeat sends it again anyway\n"
        );
        let server = Counting::new(http2, Reply::Status(503));
        let (code, requests, ..) = server.listen(&[&["--retries", "1"], protocol].concat());
        assert_eq!((code, requests), (Some(22), 2), "the server says that it did nothing");
    }
}
