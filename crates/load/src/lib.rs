//! The load generator of `ssekit bench`, for any server of server-sent events.
//!
//! It measures, and checks that every subscriber receives every event.
//!
//! ```text
//!   publishers ── POST ──▶ the server ── text/event-stream ──▶ subscribers
//!      │  the data of each event has its number and time             │
//!      └──────────────── one process, one clock ─────────────────────┘
//! ```
//!
//! ```sh
//! ssekit bench fanout localhost:3000 --yes --subscribers 10000 --rate 5 --pid $(pidof ssekit)
//! ssekit bench idle localhost:3000 --subscribers 15000 --pid $(pidof ssekit)
//! ssekit bench connects localhost:3000 --subscribers 10000
//! ssekit bench publish localhost:3000 --yes --connections 16 --pipeline 64
//! ssekit bench replay localhost:3000 --yes --events 1000000 --batch 1000
//! ssekit bench fanout localhost:8080 --preset plain --subscribe 'GET /sub' --publish 'POST /pub'
//! ```
//!
//! It opens plain HTTP/1.1 connections by the thousand in a few threads, and publishes. The report has the
//! rate of events, their latency, and the CPU time and memory of the server's processes. Every subscriber
//! must receive every event once, in the order of its publisher. The report names lost and repeated events,
//! and the exit code is 3 then.
//!
//! The latency of an event counts from the time at which it was due: where the publications have a rate, a
//! late answer of the server delays the following events, and their latency includes that delay.
//!
//! `fanout`, `publish` and `replay` publish. The history of a Mercure hub keeps these events, so they need
//! `--yes`.
//!
//! # Limits
//!
//! | Limited | Default | Beyond it |
//! |---|---|---|
//! | subscribers | 5.1 million on this machine; elsewhere the free ports | an error |
//! | subscribers from one address 127.0.1.x | 20,000 | the next address |
//! | open files | the hard limit, which root raises as needed | an error with the needed number |
//! | events that are followed; publishers times subscribers | 100 million each | an error |
//! | the head of an answer | 16 KiB | an error |
//! | a publication | 64 MiB | an error |
//! | the wait for an answer, or, with `--window`, for an event | 20 s | an error |
//! | the wait for an event after the last publication | 3 s | the event counts as lost |
//! | the wait for further events after all have arrived | 200 ms | later repetitions are not noticed |

mod answer;
mod arguments;
mod arrivals;
mod connects;
mod fanout;
mod idle;
mod latency;
mod options;
mod payload;
mod progress;
mod publication;
mod publish;
mod publisher;
mod replay;
mod report;
mod run_state;
mod shard;
mod subscriber;
mod subscriber_pool;
mod target;
mod usage;

use std::io::Write;

use anyhow::Result;
use clap::Subcommand;
use ssekit_mercure::issue::{SignError, Signer};

use self::options::Common;
pub use self::report::Verdict;

/// The measurements of `ssekit bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Bench {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Clone, Debug, Subcommand)]
enum Measure {
    /// Measure deliveries per second, their latency and the load of the server
    Fanout(Box<fanout::Fanout>),
    /// Measure the memory and CPU time of idle subscribers
    Idle(Box<idle::Idle>),
    /// Measure subscribers per second when many connect at once
    Connects(Box<connects::Connects>),
    /// Measure publications per second, and the latency of their responses
    Publish(Box<publish::Publish>),
    /// Measure how fast the history is sent to late subscribers
    Replay(Box<replay::Replay>),
}

const EXIT_CODES: &str = "\
Exit codes:
    0  measured: every subscriber received every event once and in order
    1  not measured: for example no connection, a refused request or an unknown process
    2  usage
    3  measured, but events were lost, repeated or out of order, or streams ended early";

impl Bench {
    /// Sends a token with every request, which the key signs and which grants all topics.
    ///
    /// # Errors
    /// When the signature fails.
    pub fn sign_with(&mut self, signer: &Signer) -> Result<(), SignError> {
        self.measure.common_mut().target.sign_with(signer)
    }

    /// Measures, and writes the report. The call blocks.
    ///
    /// # Errors
    /// When there is no result: the server does not answer or refuses, or the output cannot be written.
    pub fn run(&self, out: &mut impl Write) -> Result<Verdict> {
        match &self.measure {
            Measure::Fanout(fanout) => fanout.common.output.write(&fanout.run()?, out),
            Measure::Idle(idle) => idle.common.output.write(&idle.run()?, out),
            Measure::Connects(connects) => connects.common.output.write(&connects.run()?, out),
            Measure::Publish(publish) => publish.common.output.write(&publish.run()?, out),
            Measure::Replay(replay) => replay.common.output.write(&replay.run()?, out),
        }
    }
}

impl Measure {
    fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Fanout(fanout) => &mut fanout.common,
            Self::Idle(idle) => &mut idle.common,
            Self::Connects(connects) => &mut connects.common,
            Self::Publish(publish) => &mut publish.common,
            Self::Replay(replay) => &mut replay.common,
        }
    }
}
