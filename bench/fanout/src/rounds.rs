use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::load::{Delivered, Measured, Pace, Phase, Plan};
use crate::process::Server;
use crate::server::Contestant;

/// How often everything is measured, and how long.
pub struct Rounds {
    pub count: usize,
    /// Phases have this part of their events.
    part: usize,
}

pub const FULL: Rounds = Rounds { count: 5, part: 1 };
pub const QUICK: Rounds = Rounds { count: 1, part: 5 };

pub const CONTESTANTS: &[Contestant] =
    &[Contestant::Floor, Contestant::Axum, Contestant::Ssekit, Contestant::Gathering];

/// The work of a fresh server and a fresh load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Subscribers that all read, by number.
    Readers(usize),
    /// `HALF` that read and as many that stall, after events that fill the system's buffers.
    Stalled,
    /// `HALF` that read, after as many events.
    Alone,
}

pub const SCENARIOS: &[Scenario] =
    &[Scenario::Readers(1000), Scenario::Readers(10_000), Scenario::Alone, Scenario::Stalled];

pub const HALF: usize = 1000;

/// Events that may wait, so that nobody loses any.
pub const WINDOW: usize = 64;

pub struct Run {
    pub contestant: Contestant,
    pub scenario: Scenario,
    measured: Measured,
}

impl Rounds {
    pub fn run(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for round in 1..=self.count {
            for &scenario in SCENARIOS {
                for &contestant in CONTESTANTS {
                    let run = self.measure(contestant, scenario).with_context(|| contestant.title())?;
                    eprintln!(
                        "round {round} of {}: {}, {scenario:?}, idle {:.1} MiB",
                        self.count,
                        contestant.title(),
                        run.measured.memory_idle / 1024.0
                    );
                    for phase in &run.measured.phases {
                        eprintln!("    {}", said(phase));
                    }
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    fn measure(&self, contestant: Contestant, scenario: Scenario) -> Result<Run> {
        let program = std::env::current_exe()?;
        let mut serve = Command::new(&program);
        serve.args(["serve", contestant.name()]);
        let server = Server::start(serve)?;
        let plan = self.plan(&server, scenario);
        let mut load = Command::new(&program);
        load.args(["load", &plan.port.to_string(), &plan.pid.to_string()]);
        load.args(["--subscribers", &plan.subscribers.to_string(), "--stalled", &plan.stalled.to_string()]);
        for phase in &plan.phases {
            load.args(["--phase", &phase.to_string()]);
        }
        let output = load.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the load failed");
        Ok(Run { contestant, scenario, measured: serde_json::from_slice(&output.stdout)? })
    }

    fn plan(&self, server: &Server, scenario: Scenario) -> Plan {
        let phase = |events: usize, pace| Phase { events: events / self.part, pace };
        let (subscribers, stalled, phases) = match scenario {
            Scenario::Readers(subscribers) => {
                let rate = rate(subscribers);
                let burst = BURST / subscribers;
                let phases = vec![
                    phase(20, Pace::Rate(rate)),
                    phase(SECONDS * rate as usize, Pace::Rate(rate)),
                    phase(burst, Pace::Window(WINDOW)),
                    phase(burst, Pace::Unwaiting),
                ];
                (subscribers, 0, phases)
            }
            Scenario::Alone | Scenario::Stalled => {
                let rate = rate(HALF);
                // The buffers are not smaller in a short round.
                let fill = Phase { events: FILL, pace: Pace::Window(WINDOW) };
                let phases = vec![fill, phase(SECONDS * rate as usize, Pace::Rate(rate))];
                (HALF, if scenario == Scenario::Stalled { HALF } else { 0 }, phases)
            }
        };
        Plan { port: server.port, pid: server.pid(), subscribers, stalled, phases }
    }
}

/// The rate of the steady publisher, in events per second. All subscribers have an event before the next
/// comes: otherwise the CPU per delivery would be that of events which leave together.
pub fn rate(subscribers: usize) -> f64 {
    if subscribers > 1000 { 5.0 } else { 100.0 }
}

/// How long it publishes.
const SECONDS: usize = 5;

/// Deliveries of a publisher that does not wait.
const BURST: usize = 3_000_000;

/// Events that fill a stalled subscriber's buffers in both systems: 280 KB.
const FILL: usize = 2000;

impl Run {
    /// Between before and after they came, in KiB.
    pub fn memory_per_subscriber(&self) -> f64 {
        let Scenario::Readers(subscribers) = self.scenario else { return f64::NAN };
        (self.measured.memory_idle - self.measured.memory_before) / subscribers as f64
    }

    pub fn steady(&self) -> &Delivered {
        &self.measured.phases[1]
    }

    pub fn windowed(&self) -> &Delivered {
        &self.measured.phases[2]
    }

    pub fn unwaiting(&self) -> &Delivered {
        &self.measured.phases[3]
    }
}

impl Delivered {
    /// Processor time of the server for a delivery, in µs.
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    pub fn per_second(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }

    /// Percent of the deliveries there should have been.
    pub fn lost(&self) -> f64 {
        100.0 * (self.expected - self.delivered) as f64 / self.expected as f64
    }
}

fn said(phase: &Delivered) -> String {
    format!(
        "{:.2} µs ({:.2} user; load {:.2}), {:.0}/s, {:.2} % lost, {} closed, {:.1} a read, p50 {:.2} ms, \
         p99 {:.2} ms, {:.1} MiB",
        phase.cpu(),
        phase.user,
        phase.load,
        phase.per_second(),
        phase.lost(),
        phase.closed,
        phase.events_per_read,
        phase.p50,
        phase.p99,
        phase.memory / 1024.0
    )
}
