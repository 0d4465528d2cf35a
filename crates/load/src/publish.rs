//! `ssekit bench publish`: as many publications as the server takes.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::arguments::within;
use super::arrivals::{Run, Workload};
use super::latency::Summary;
use super::options::{Common, Consent, Subscribers, allow_connections, run_number};
use super::payload::{Clock, EVENTS, PUBLISHERS};
use super::progress::Progress;
use super::publisher::{self, Flood};
use super::report::{self, Delivered, Report, costs};
use super::subscriber_pool::{SubscriberPool, Watch};
use super::usage::{Cost, load_average};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Publish {
    /// Number of events, of all connections together
    #[arg(short = 'n', long, default_value_t = 100_000, value_parser = within(1..=EVENTS))]
    events: u32,
    /// Number of publishing connections
    #[arg(long, default_value_t = 1, value_parser = within(1..=PUBLISHERS))]
    connections: u32,
    /// Unanswered requests per connection
    #[arg(long, value_name = "REQUESTS", default_value_t = 1, value_parser = within(1..=100_000))]
    pipeline: u32,
    /// Events per request, one per line
    #[arg(long, value_name = "EVENTS", default_value_t = 1, value_parser = within(1..=100_000))]
    batch: u32,
    /// Number of subscribers that must receive every event; they are part of the load
    #[arg(short, long, default_value_t = 0, value_parser = within(0..=10_000))]
    subscribers: u32,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Publish {
    pub(super) fn run(&self) -> Result<PublishReport> {
        let Common { target, output, .. } = &self.common;
        self.consent.check(target)?;
        let clock = Clock::start();
        let mut progress = self.common.start_progress();
        allow_connections(self.connections)?;
        // Each connection has the same number of full batches.
        let requests = self.events.div_ceil(self.connections).div_ceil(self.batch);
        let events = requests.saturating_mul(self.batch);
        ensure!(events <= EVENTS, "a connection can publish at most {EVENTS} events, not {events}");
        let run = run_number();
        let workload = Workload { run: Run::These(run), publishers: self.connections, events };
        let publication = target.publication(self.batch)?;
        let plan = Flood {
            server: target.address()?,
            run,
            connections: self.connections,
            pipeline: self.pipeline,
            events,
        };
        // Without subscribers, no event is awaited.
        let workload = if self.subscribers > 0 { workload } else { Workload::NONE };
        workload.check(self.subscribers)?;
        let mut pool = self.pool(workload, clock, &mut progress)?;
        let all = u64::from(events) * u64::from(self.connections);
        let watch = Watch { workload, windowed: false, pids: &output.pids, publications: Some(all) };
        let result = pool.watch(watch, &mut progress, |state| {
            let begin = clock.now();
            let answered = |events| state.answered(events);
            let latencies = publisher::flood(plan, &publication, clock, answered)?;
            Ok((latencies, clock.now() - begin))
        })?;
        drop(progress);
        let (latencies, time) = &result.published;
        let delivered = (self.subscribers > 0).then(|| Delivered::of(&result));
        Ok(PublishReport {
            measure: "publish",
            connections: self.connections,
            pipeline: self.pipeline,
            batch: self.batch,
            size: target.size,
            events: all,
            requests: all / u64::from(self.batch),
            seconds: time.as_secs_f64(),
            per_second: all as f64 / time.as_secs_f64().max(1e-9),
            latency: latencies.summary(),
            server: result.server.map(|(before, after)| Cost::between(&before, &after, all)),
            load_average: load_average(),
            faults: delivered.iter().flat_map(|all| all.faults(result.fault.as_deref())).collect(),
            delivered,
        })
    }

    fn pool(&self, workload: Workload, clock: Clock, progress: &mut Progress) -> Result<SubscriberPool> {
        if self.subscribers == 0 {
            return Ok(SubscriberPool::empty(clock));
        }
        let (mut pool, _) = self.common.connect_all(Subscribers::new(self.subscribers), clock, progress)?;
        pool.expect(workload);
        Ok(pool)
    }
}

/// Result of the measurement.
#[derive(Debug, Serialize)]
pub(super) struct PublishReport {
    measure: &'static str,
    connections: u32,
    pipeline: u32,
    batch: u32,
    size: u32,
    /// Answered events; a refused publication ends the measurement.
    events: u64,
    requests: u64,
    seconds: f64,
    per_second: f64,
    /// Time from a request to its answer.
    latency: Option<Summary>,
    /// CPU time of the server for each event, in µs.
    server: Option<Cost>,
    load_average: Option<f64>,
    /// Deliveries, if there were subscribers.
    delivered: Option<Delivered>,
    faults: Vec<String>,
}

impl Report for PublishReport {
    fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for PublishReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, pipeline, batch, size, seconds, .. } = self;
        writeln!(
            f,
            "{} events of {size} bytes in {} requests of {batch}, by {connections} connections with \
             {pipeline} unanswered requests each",
            report::number(self.events),
            report::number(self.requests)
        )?;
        writeln!(f, "{seconds:.3} s: {} events/s", report::number(self.per_second as u64))?;
        costs(f, "event", self.server.as_ref(), None)?;
        report::latencies(f, "from a request to its response", self.latency.as_ref())?;
        if let Some(delivered) = &self.delivered {
            write!(f, "{delivered}")?;
        }
        report::write_faults(f, &self.faults)
    }
}
