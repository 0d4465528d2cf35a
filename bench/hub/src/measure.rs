//! The measurements, in turns.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::restart;
use crate::server::{Contestant, Program, Store};

/// A measurement, and the number of its rounds.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// One short round
    #[arg(long)]
    quick: bool,
    /// Rounds, each server in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only measurements with this word in their name
    #[arg(long, value_name = "WORD", default_value = "", hide_default_value = true)]
    only: String,
    /// Only these servers
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["floor", "axum", "nchan", "hub"])]
    servers: Vec<Contestant>,
    /// Events that a hub has kept when it is restarted
    #[arg(long, default_value_t = 10_000_000)]
    restart: u64,
}

/// A call of `ssekit bench`.
pub struct Measure {
    pub name: &'static str,
    contestants: &'static [Contestant],
    /// Storage of the hub.
    kept: Kept,
    arguments: &'static str,
    /// The same in a short round.
    quick: &'static str,
}

/// Storage of the hub.
#[derive(Clone, Copy)]
enum Kept {
    InMemory,
    /// As it does unless told otherwise.
    OnDisk,
    /// And synced before it answers.
    Synced,
}

/// The result of a call.
pub struct Figures {
    pub measure: &'static str,
    pub contestant: Contestant,
    /// Its report.
    pub report: Value,
}

/// Everything that was measured.
pub struct Measured {
    pub figures: Vec<Figures>,
    pub restarts: Vec<restart::Restart>,
}

const ALL: &[Contestant] = &Contestant::ALL;

/// All subscribers have an event before the next comes: otherwise the CPU for a delivery would be that of
/// events which leave together.
pub const MEASURES: &[Measure] = &[
    Measure {
        name: "fanout 1000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "fanout --subscribers 1000 --rate 100 --events 500",
        quick: "fanout --subscribers 1000 --rate 100 --events 100",
    },
    Measure {
        name: "fanout 10000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "fanout --subscribers 10000 --rate 5 --events 40 --warm-up 5",
        quick: "fanout --subscribers 10000 --rate 5 --events 10 --warm-up 5",
    },
    Measure {
        name: "unwaiting 1000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "fanout --subscribers 1000 --unwaiting --events 3000",
        quick: "fanout --subscribers 1000 --unwaiting --events 1000",
    },
    Measure {
        name: "window 1000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "fanout --subscribers 1000 --window 64 --events 3000",
        quick: "fanout --subscribers 1000 --window 64 --events 1000",
    },
    Measure {
        name: "idle 15000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "idle --subscribers 15000 --seconds 5",
        quick: "idle --subscribers 15000 --seconds 1",
    },
    Measure {
        name: "connects 10000",
        contestants: ALL,
        kept: Kept::InMemory,
        arguments: "connects --subscribers 10000",
        quick: "connects --subscribers 10000",
    },
    Measure {
        name: "publish, one after the other",
        contestants: &[Contestant::Axum, Contestant::Nchan, Contestant::Hub],
        kept: Kept::OnDisk,
        arguments: "publish --events 20000",
        quick: "publish --events 2000",
    },
    Measure {
        name: "publish, 16 connections",
        contestants: &[Contestant::Axum, Contestant::Nchan, Contestant::Hub],
        kept: Kept::OnDisk,
        arguments: "publish --connections 16 --events 100000",
        quick: "publish --connections 16 --events 10000",
    },
    Measure {
        name: "publish, 16 connections, pipelines of 64",
        contestants: &[Contestant::Axum, Contestant::Nchan, Contestant::Hub],
        kept: Kept::OnDisk,
        arguments: "publish --connections 16 --pipeline 64 --events 500000",
        quick: "publish --connections 16 --pipeline 64 --events 50000",
    },
    Measure {
        name: "publish, 16 connections, pipelines of 64, synced",
        contestants: &[Contestant::Hub],
        kept: Kept::Synced,
        arguments: "publish --connections 16 --pipeline 64 --events 500000",
        quick: "publish --connections 16 --pipeline 64 --events 50000",
    },
    Measure {
        name: "publish, batches of 1000",
        contestants: &[Contestant::Hub],
        kept: Kept::OnDisk,
        arguments: "publish --batch 1000 --pipeline 4 --events 2000000",
        quick: "publish --batch 1000 --pipeline 4 --events 100000",
    },
    Measure {
        name: "replay from memory",
        contestants: &[Contestant::Nchan, Contestant::Hub],
        kept: Kept::InMemory,
        arguments: "replay --events 100000",
        quick: "replay --events 20000",
    },
    Measure {
        name: "replay from disk",
        contestants: &[Contestant::Hub],
        kept: Kept::OnDisk,
        arguments: "replay --batch 1000 --events 1000000",
        quick: "replay --batch 1000 --events 50000",
    },
];

impl Plan {
    /// Goes through all of it.
    pub fn run(&self, program: &Program) -> Result<Measured> {
        let mut plan = self.clone();
        if plan.quick {
            (plan.rounds, plan.restart) = (1, plan.restart.min(100_000));
        }
        let (mut figures, mut restarts) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            for measure in MEASURES.iter().filter(|measure| measure.name.contains(&plan.only)) {
                for &contestant in measure.contestants.iter().filter(|one| plan.servers.contains(one)) {
                    eprintln!("round {round} of {}: {}: {}", plan.rounds, measure.name, contestant.title());
                    let report = measure
                        .run(contestant, program, plan.quick)
                        .with_context(|| format!("{}: {}", measure.name, contestant.title()))?;
                    figures.push(Figures { measure: measure.name, contestant, report });
                }
            }
        }
        if "restart".contains(&plan.only) && plan.servers.contains(&Contestant::Hub) {
            restarts.push(restart::run(program, plan.restart).context("restart")?);
        }
        Ok(Measured { figures, restarts })
    }
}

impl Measure {
    fn run(&self, contestant: Contestant, program: &Program, quick: bool) -> Result<Value> {
        let folder = tempfile::tempdir()?;
        let store = match self.kept {
            Kept::InMemory => Store::Memory,
            Kept::OnDisk => Store::Folder(folder.path()),
            Kept::Synced => Store::Synced(folder.path()),
        };
        let server = contestant.start(program, store)?;
        let arguments = if quick { self.quick } else { self.arguments };
        let options = contestant.options(arguments.starts_with("replay"));
        bench(program, &server.url, &server.pids()?, arguments, options)
    }
}

/// Calls `ssekit bench`, and gives its report.
pub fn bench(program: &Program, url: &str, pids: &[u32], arguments: &str, options: &[&str]) -> Result<Value> {
    let mut words = arguments.split(' ');
    let mut command = Command::new(&program.0);
    let measure = words.next();
    command.arg("bench").args(measure).arg(url).args(words).args(options).args(["--json", "--quiet"]);
    if matches!(measure, Some("fanout" | "publish" | "replay")) {
        // The hub was started for this measurement, with a store of its own.
        command.arg("--yes");
    }
    for pid in pids {
        command.args(["--pid", &pid.to_string()]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    // 3: it was measured, and something was lost, which the report says.
    let Some(0 | 3) = output.status.code() else { bail!("{command:?} has failed") };
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report.is_object(), "no report of {command:?}");
    eprintln!("    {}", summary(&report));
    Ok(report)
}

/// The members that say most, on a line.
fn summary(report: &Value) -> String {
    let members = [
        ("/per_second", "/s"),
        ("/server/cpu", "µs"),
        ("/server/user", "µs user"),
        ("/load/cpu", "µs load"),
        ("/latency/p50", "ms p50"),
        ("/latency/p99", "ms p99"),
        ("/resident_per_subscriber", "bytes each"),
        ("/missing", "missing"),
        ("/load_average", "load average"),
    ];
    let said = |(path, unit)| Some(format!("{:.2} {unit}", report.pointer(path)?.as_f64()?));
    let mut text = members.into_iter().filter_map(said).collect::<Vec<_>>().join(", ");
    for fault in report["faults"].as_array().into_iter().flatten() {
        text += &format!("; {}", fault.as_str().unwrap_or_default());
    }
    text
}
