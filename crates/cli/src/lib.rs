//! The program `ssekit`: a hub for server-sent events, and what goes with it.
//!
//! ```text
//!   PHP, Python, curl, … ─ POST ─▶ ssekit serve ─▶ browsers, programs, terminals
//!                                      │
//!                                 ./ssekit-data: whoever comes back is told what they missed
//! ```
//!
//! | | |
//! |---|---|
//! | `ssekit serve` | the hub: publish and subscribe over HTTP, by the Mercure protocol |
//! | `ssekit publish URL --topic T DATA` | publishes |
//! | `ssekit listen URL` | curl for events: readable, and it reconnects |
//! | `ssekit health [URL]` | asks whether a hub is ready: exit code 0, or the reason |
//! | `ssekit token make`, `explain` | makes tokens, and says what they are good for |
//! | `ssekit bench` | measures any server of events |
//! | `ssekit completions SHELL`, `ssekit man DIR` | completions for a shell, man pages |
//! | `ssekit`, `ssekit serve --demo` | a page that shows this machine and a chat room |
//!
//! # `ssekit serve`
//!
//! ```sh
//! ssekit serve --dev                                  # anyone on this machine may publish and subscribe
//! ssekit serve --key-file key --anonymous             # tokens to publish; everyone reads what is public
//! ssekit serve --config /etc/ssekit/ssekit.toml --check
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET /.well-known/mercure?topic=T` | the events about T: a topic, a URI template (RFC 6570), or `*`; repeated for several |
//! | … with `Last-Event-ID` or `&lastEventID=` | after that event; `earliest` for all that is kept |
//! | `POST /.well-known/mercure` | publishes: a form with `topic` (repeated), `data`, `private`, `id`, `type`, `retry`, and no other field; answers the id |
//! | … as `application/x-ndjson` | many at once, a JSON object a line; all or none |
//! | `GET /.well-known/mercure/subscriptions` | who is subscribed to what, with `--subscriptions` |
//! | `GET /healthz`, `/readyz` | whether it runs; whether its history can be read |
//! | `GET /metrics` | figures for Prometheus, with `--metrics` |
//! | `GET /hub/` | a page: publish, watch, rates, history, and why a token is refused; with `--ui` |
//!
//! Tokens are JWTs with a claim `mercure: {publish: […], subscribe: […]}`, by header, cookie or query. An update with `private` reaches only those whose token
//! grants one of its topics. Refusals are `application/problem+json` and say which topic, which claim, which rule.
//!
//! Who comes back with an id that the history no longer holds is told so first: by an event `reset`, whose data has the reason `expired` or `unknown`, and by the headers
//! `Last-Event-ID: earliest` and `ssekit-reset`. Then all that is kept follows.
//!
//! `docs/operating.md` leads to a hub behind nginx with TLS. `ssekit serve --help` has every setting; each is a flag, a variable and a line of TOML.
//!
//! # `ssekit serve --demo`
//!
//! ```sh
//! cargo run --release                        # without a command: serve --demo --store memory, on 127.0.0.1:3000
//! ssekit serve --demo --store memory --addr 127.0.0.1:0     # on any free port; it prints which
//! SSEKIT_ADDR=0.0.0.0:3000 ssekit            # for all who can reach this machine, a phone for example
//! ```
//!
//! The page shows the machine's processors, memory and network, a chat room, and the lines that bring all of it, as they
//! arrive on one response. It is four kinds of file in the program itself (HTML, CSS, JavaScript, SVG), built by nothing
//! and loading nothing from elsewhere; its content security policy forbids that.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /events?name=Ada` | its stream: events `stats`, `chat` and `people`; without a name one only looks on |
//! | `GET /stats` | events `stats` alone: four times a second, while anyone listens |
//! | `POST` to either | the same stream, for clients that ask so, as the npm package `sveltekit-sse` does |
//! | `POST /chat` | `{"from": "Ada", "text": "hello"}` as `application/json`; 204 when it was said |
//!
//! `/events` reads three channels, and the id of each of its events is its place in all of them: `figures,room,people`. A
//! client that returns with the last one goes on where it was. What it cannot be told any more is said first, by an event
//! `reset` for each channel: `{"channel": "room", "reason": "expired", "missed": 3}`, or the reason `unknown` after a
//! restart of the program, which remembers nothing of before. The page says which it was. Whoever comes for the first
//! time is told the messages that are kept, the latest figures, and who is here.
//!
//! Ctrl-C and SIGTERM end every stream cleanly, with a reconnection time that spreads the returning clients, and the
//! program within a second, with exit code 0; an address that is taken is said, with exit code 1.
//!
//! Whoever can reach the address can read the figures and speak under any name: it is a demo, and by default only
//! this machine can reach it. Browsers open six connections to one server over HTTP/1.1, so the seventh tab waits.
//!
//! A request must ask for `localhost`, for an IP address or for the name that `--addr` gives; any other `Host` is answered
//! with 421. So a site that has its own name point at this machine (DNS rebinding) neither reads nor speaks here. A proxy
//! before the program passes on one of these names.
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
//! Events go to stdout, whole and at once; how the connection is goes to stderr. The exit code says how it ended: `ssekit
//! listen --help` has the list. In text and JSON, what a terminal would obey is escaped.
//!
//! # Limits
//!
//! Of the hub: the table in `ARCHITECTURE.md`, and `ssekit serve --help`. Of the demo and `listen`:
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | streams of the demo | 256 | a stream that ends at once, with the time to return: browsers give up on 503 |
//! | what a client has yet to read | what its channels keep | the stream ends; the client returns and is told what it missed |
//! | a client that reads nothing | 30 s | its connection is closed |
//! | a peer that vanished | 60 s | its connection is closed |
//! | a request's body to the demo | 8 KiB | 413 |
//! | a name, a message | 32, 500 characters | refused, with the reason |
//! | messages that are kept; comings and goings | 50; 50 | the oldest are forgotten |
//! | figures that are kept | 60 s, 1,024 | the oldest are forgotten |
//! | streams that do not read, when the program ends | 0.5 s | are cut off |
//! | one event for `ssekit listen` | 16 MiB | left out, said on stderr |

mod assets;
pub mod config;
mod demo;
mod exchange;
pub mod generate;
pub mod health;
mod hub_url;
pub mod listen;
pub mod publish;
pub mod serve;
#[cfg(unix)]
pub mod systemd;
pub mod terminal;
pub mod tls;
pub mod token;
mod ui;
