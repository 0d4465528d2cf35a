//! The program `ssekit`: a hub for server-sent events, and commands for the terminal.
//!
//! ```text
//!   PHP, Python, curl, … ─ POST ─▶ ssekit serve ─▶ browsers, programs, terminals
//!                                      │
//!                                 ./ssekit-data: updates, for subscribers that come back
//! ```
//!
//! | Command | Task |
//! |---|---|
//! | `ssekit serve` | runs a hub: publish and subscribe over HTTP, by the Mercure protocol |
//! | `ssekit publish URL --topic T DATA` | publishes updates |
//! | `ssekit listen URL` | prints the events of a stream, and reconnects |
//! | `ssekit health [URL]` | checks that a hub is ready, with an exit code for scripts |
//! | `ssekit token make`, `explain` | makes a token, and explains the grants of one |
//! | `ssekit bench` | measures any server of server-sent events (crate `ssekit-load`) |
//! | `ssekit completions SHELL`, `ssekit man DIR` | makes completions for a shell, and man pages |
//! | `ssekit`, `ssekit serve --demo` | serves a page with a chat room and the load of this machine |
//!
//! # `ssekit serve`
//!
//! ```sh
//! ssekit serve --dev                                  # everyone on this machine may publish and subscribe
//! ssekit serve --key-file key --anonymous             # tokens to publish; everyone reads public updates
//! ssekit serve --config /etc/ssekit/ssekit.toml --check
//! ```
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /.well-known/mercure?topic=T` | the updates of T: a topic, a URI template or `*`; repeatable |
//! | … and `Last-Event-ID` or `lastEventID=` | the updates after that one; `earliest` for the history |
//! | `POST /.well-known/mercure` | publishes a form, and answers the id |
//! | … as `application/x-ndjson` | publishes a batch, one JSON object per line: all updates or none |
//! | `GET /.well-known/mercure/subscriptions` | lists the active subscriptions, with `--subscriptions` |
//! | `GET /healthz`, `/readyz` | whether the program runs; whether its history can be read |
//! | `GET /metrics` | metrics for Prometheus, with `--metrics` |
//! | `GET /hub/` | a page to publish, to watch updates, rates and history, and to check tokens, with `--ui` |
//!
//! The fields of a publication are `topic` (repeatable), `data`, `private`, `id`, `type` and `retry`; any
//! other is refused.
//!
//! Tokens are JWTs with a claim `mercure: {publish: […], subscribe: […]}`, in the header `Authorization`, a
//! cookie or the query. A private update reaches only subscribers whose token grants one of its topics.
//! Refusals are `application/problem+json` and name the topic, the claim or the rule.
//!
//! A subscriber whose last event ID the history no longer holds first gets an event `reset`, whose data has
//! the reason `expired` or `unknown`, and the headers `Last-Event-ID: earliest` and `ssekit-reset`. The whole
//! history follows.
//!
//! `docs/deployment.md` describes a hub behind nginx with TLS. `ssekit serve --help` lists the settings; each
//! is a flag, an environment variable and a line of TOML.
//!
//! # `ssekit serve --demo`
//!
//! ```sh
//! cargo run --release                        # serve --demo --store memory, on 127.0.0.1:3000
//! ssekit serve --demo --store memory --addr 127.0.0.1:0     # on a free port, which it prints
//! SSEKIT_ADDR=0.0.0.0:3000 ssekit            # for every device that can reach this machine, such as a phone
//! ```
//!
//! The page shows the processors, memory and network of this machine, a chat room, and the lines of the
//! response that carries all of it. Its files (HTML, CSS, JavaScript, SVG) are part of the program, need no
//! build step, and load nothing from elsewhere; the content security policy forbids that.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /events?name=Ada` | the stream of the page: `stats`, `chat` and `people`; the name is optional |
//! | `GET /stats` | events `stats`, four times a second while the stream is open |
//! | `POST` to either stream | the same stream, for clients such as the npm package `sveltekit-sse` |
//! | `POST /chat` | `{"from": "Ada", "text": "hello"}` as `application/json`; 204 when it was sent |
//!
//! `/events` reads three channels, and the id of each event is its position in all of them:
//! `figures,room,people`. A client that returns with the last id continues from there. Where events are
//! missing, an event `reset` for that channel comes first: `{"channel": "room", "reason": "expired",
//! "missed": 3}`. The reason is `unknown` after a restart of the program, which keeps nothing, and the page
//! shows the reason. A new client gets the kept messages, the latest figures, and the list of visitors.
//!
//! Ctrl-C and SIGTERM end every stream with a reconnection time, which differs for each client, and the
//! program within a second, with exit code 0. If the address is in use, the program says so and exits with
//! code 1.
//!
//! Everyone with access to the address can read the figures and write under any name: it is a demo, and by
//! default only this machine can reach it. Browsers open at most six connections to one server over HTTP/1.1,
//! so the seventh tab waits.
//!
//! The header `Host` of a request must be `localhost`, an IP address or the name that `--addr` gives; any
//! other is answered with 421. So a site that points its own name at this machine (DNS rebinding) can neither
//! read nor write. A proxy in front of the program must send one of these names.
//!
//! # `ssekit listen URL`
//!
//! ```sh
//! ssekit listen localhost:3000/events                                   # readable, and it reconnects
//! ssekit listen localhost:3000/stats -o json -n 10 | jq '.data | fromjson | .cpu'
//! ssekit listen https://api.example/v1/chat -H 'authorization: Bearer …' \
//!     --json '{"stream": true}' --no-reconnect -o raw
//! ```
//!
//! Each event is written to standard output as soon as it is complete, and the state of the connection to
//! standard error. `ssekit listen --help` lists the exit codes. In text and JSON, control characters are
//! escaped, so that a terminal does not obey them.
//!
//! # Limits
//!
//! The limits of the hub are in `docs/limits.md` and in `ssekit serve --help`; those of `ssekit
//! bench` are in the crate `ssekit-load`. The demo and `listen` have these:
//!
//! | Limited | Limit | Beyond it |
//! |---|---|---|
//! | streams of the demo | 256 | 200, `retry:` and the end, because browsers give up on 503 |
//! | unread events of a client | those that its channels keep | the stream ends; a `reset` on return |
//! | a client that reads nothing | 30 s | its connection is closed |
//! | a peer that acknowledges nothing | 60 s | its connection is closed |
//! | the body of a request to the demo | 8 KiB | 413 |
//! | a name, a message | 32, 500 characters | refused, with the reason |
//! | kept messages; kept visits | 50; 50 | the oldest are dropped |
//! | kept figures | 60 s, 1,024 | the oldest are dropped |
//! | unread streams at shutdown | 0.5 s | cut |
//! | an event that `ssekit listen` prints | 16 MiB | left out, with a line on standard error |

mod arguments;
mod assets;
pub mod bench;
pub mod config;
mod demo;
mod exchange;
pub mod generate;
pub mod health;
mod hub_url;
mod key_flags;
pub mod listen;
pub mod publish;
pub mod serve;
#[cfg(unix)]
mod systemd;
pub mod terminal;
mod tls;
pub mod token;
mod ui;
