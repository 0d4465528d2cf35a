//! The report in Markdown.

use std::fmt::Write;

use anyhow::Result;
use serde_json::Value;

use crate::measure::{MEASURES, Measured};
use crate::server::{Contestant, broadcast, nchan_version, said};

/// A column: its title, the place of its figure in a report, a factor for the figure, and its digits.
pub type Column = (&'static str, &'static str, f64, usize);

/// All tables.
pub fn table(measured: &Measured) -> Result<String> {
    let mut out = String::from("# The hub\n\n![The medians as bars](hub.svg)\n\n");
    writeln!(
        out,
        "\
HTTP/1.1 over loopback, events with 100 bytes of data, measured by `ssekit bench` on the same cores. Each
server runs in its own processes, fresh for each figure; {} rounds in turns: the median, in parentheses the
least and the most. The hub is `ssekit serve --dev --subscriptions=false`. The floor is one thread that sends
one buffer to each socket: no topics, no history, no heartbeats, and it loses bytes that do not fit into a
full socket. axum's broadcast keeps {} events, nchan a million in memory.",
        measured.rounds(),
        broadcast::CAPACITY
    )?;
    for subscribers in ["1000", "10000"] {
        let title = match subscribers {
            "1000" => "A steady publisher: 100 events/s to 1,000 subscribers",
            _ => "5 events/s to 10,000 subscribers",
        };
        measured.section(
            &mut out,
            title,
            &format!("fanout {subscribers}"),
            &[
                ("CPU per delivery, µs", "/server/cpu", 1.0, 2),
                ("of it user", "/server/user", 1.0, 2),
                ("p50, ms", "/latency/p50", 1.0, 2),
                ("p99, ms", "/latency/p99", 1.0, 2),
                ("events a read", "/events_per_read", 1.0, 1),
                ("lost", "/missing", 1.0, 0),
            ],
            true,
        )?;
    }
    let deliveries: &[Column] = &[
        ("deliveries/s, thousands", "/per_second", 1e-3, 0),
        ("CPU per delivery, µs", "/server/cpu", 1.0, 2),
        ("load's CPU per delivery, µs", "/load/cpu", 1.0, 2),
        ("p99, ms", "/latency/p99", 1.0, 1),
        ("lost", "/missing", 1.0, 0),
    ];
    measured.section(
        &mut out,
        "A publisher that does not wait, 1,000 subscribers",
        "unwaiting 1000",
        deliveries,
        true,
    )?;
    measured.section(
        &mut out,
        "The same, but never more than 64 events ahead of anybody",
        "window 1000",
        deliveries,
        true,
    )?;
    measured.section(
        &mut out,
        "15,000 idle subscribers",
        "idle 15000",
        &[
            ("memory for each, bytes", "/resident_per_subscriber", 1.0, 0),
            ("of it anonymous", "/anonymous_per_subscriber", 1.0, 0),
            ("CPU, ms a second", "/cpu_ms_per_second", 1.0, 1),
        ],
        false,
    )?;
    measured.section(
        &mut out,
        "10,000 subscribers at once",
        "connects 10000",
        &[
            ("connects/s, thousands", "/per_second", 1e-3, 1),
            ("CPU for each, µs", "/server/cpu", 1.0, 1),
            ("p99, ms", "/latency/p99", 1.0, 0),
            ("slowest, ms", "/latency/max", 1.0, 0),
        ],
        true,
    )?;
    for (heading, word) in [("Publications", "publish"), ("Replay of kept updates", "replay")] {
        let names = MEASURES.iter().map(|measure| measure.name).filter(|name| name.starts_with(word));
        let names: Vec<_> = names.filter(|name| measured.has(name)).collect();
        if names.is_empty() {
            continue;
        }
        writeln!(out, "\n## {heading}")?;
        if word == "publish" {
            writeln!(
                out,
                "\nThe hub answers when the system has them (`kill -9` loses none), and syncs within 100 \
                 ms; in the \
                 rows named\n\
                 “synced”, it syncs before it answers. The others keep them in memory."
            )?;
        }
        for name in names {
            let columns: &[Column] = match word {
                "publish" => &[
                    ("events/s, thousands", "/per_second", 1e-3, 1),
                    ("CPU for each, µs", "/server/cpu", 1.0, 1),
                    ("p50, ms", "/latency/p50", 1.0, 2),
                    ("p99, ms", "/latency/p99", 1.0, 2),
                ],
                _ => &[
                    ("events/s, thousands", "/per_second", 1e-3, 0),
                    ("MB/s", "/megabytes_per_second", 1.0, 0),
                    ("CPU for each, µs", "/server/cpu", 1.0, 2),
                ],
            };
            writeln!(out, "\n{name}:\n")?;
            measured.rows(&mut out, name, columns, false)?;
        }
    }
    for restart in &measured.restarts {
        writeln!(out, "\n## Restart\n")?;
        writeln!(
            out,
            "With {} events kept, from the start of the process to a subscriber's stream: {:.3} s after \
             SIGTERM, \
             at\n\
             most {:.3} s after five times SIGKILL.",
            restart.events, restart.asked, restart.killed
        )?;
    }
    measured.goals(&mut out)?;
    let nchan = if measured.figures.iter().any(|figures| figures.contestant == Contestant::Nchan) {
        format!("; {}", nchan_version()?)
    } else {
        String::new()
    };
    writeln!(
        out,
        "\n{} on {}, {} cores, load average {};\nLinux {}; {};\naxum 0.8, tokio 1{nchan}.",
        said("date", &["-u", "+%F"])?,
        cpu_name()?,
        std::thread::available_parallelism()?,
        measured.load_average(),
        said("uname", &["-r"])?,
        said("rustc", &["--version"])?,
    )?;
    writeln!(
        out,
        "Command: `cargo run --release --manifest-path bench/Cargo.toml --package ssekit-bench-hub -- \
         --write`"
    )?;
    Ok(out)
}

impl Measured {
    fn rounds(&self) -> usize {
        let first = self.figures.first();
        first.map_or(0, |first| {
            let same = |figures: &&crate::measure::Figures| {
                (figures.measure, figures.contestant) == (first.measure, first.contestant)
            };
            self.figures.iter().filter(same).count()
        })
    }

    fn has(&self, measure: &str) -> bool {
        self.figures.iter().any(|figures| figures.measure == measure)
    }

    fn section(
        &self,
        out: &mut String,
        title: &str,
        measure: &str,
        columns: &[Column],
        floor: bool,
    ) -> Result<()> {
        if !self.has(measure) {
            return Ok(());
        }
        writeln!(out, "\n## {title}\n")?;
        self.rows(out, measure, columns, floor)
    }

    /// A table, whose first column is also told as a multiple of the floor's.
    fn rows(&self, out: &mut String, measure: &str, columns: &[Column], floor: bool) -> Result<()> {
        let floor = floor.then(|| Figure::of(self, measure, Contestant::Floor, columns[0])).flatten();
        let mut titles: Vec<&str> = columns.iter().map(|(title, ..)| *title).collect();
        if floor.is_some() {
            titles.insert(1, "× floor");
        }
        writeln!(out, "| server | {} |", titles.join(" | "))?;
        writeln!(out, "|---|{}", "---|".repeat(titles.len()))?;
        for contestant in Contestant::ALL {
            let figures = columns.iter().map(|column| Figure::of(self, measure, contestant, *column));
            let figures: Vec<_> = figures.collect();
            let Some(Some(first)) = figures.first() else { continue };
            let text = |(figure, column): (&Option<Figure>, &Column)| {
                figure.as_ref().map_or("–".to_owned(), |figure| figure.text(column.3))
            };
            let mut cells: Vec<String> = figures.iter().zip(columns).map(text).collect();
            if let Some(floor) = &floor {
                cells.insert(1, format!("{:.2}", first.median / floor.median));
            }
            writeln!(out, "| {} | {} |", contestant.title(), cells.join(" | "))?;
        }
        Ok(())
    }

    /// The goals of the hub, in the medians.
    fn goals(&self, out: &mut String) -> Result<()> {
        let median = |measure, contestant, path| {
            Figure::of(self, measure, contestant, ("", path, 1.0, 0)).map(|figure| figure.median)
        };
        let hub = |measure, path| median(measure, Contestant::Hub, path);
        let floors =
            |measure| Some(hub(measure, "/server/cpu")? / median(measure, Contestant::Floor, "/server/cpu")?);
        let restart = self.restarts.first().map(|restart| restart.asked.max(restart.killed));
        let goals = [
            ("CPU per delivery, 1,000 subscribers: at most 1.15 × floor", floors("fanout 1000"), -1.15),
            ("CPU per delivery, 10,000 subscribers: at most 1.15 × floor", floors("fanout 10000"), -1.15),
            (
                "memory of an idle subscriber: at most 512 bytes",
                hub("idle 15000", "/resident_per_subscriber"),
                -512.0,
            ),
            ("deliveries/s, not waiting: at least 2 million", hub("unwaiting 1000", "/per_second"), 2e6),
            ("connects/s: at least 30,000", hub("connects 10000", "/per_second"), 3e4),
            (
                "durable publications/s, pipelined: at least 100,000",
                hub("publish, 16 connections, pipelines of 64", "/per_second"),
                1e5,
            ),
            (
                "durable publications/s, in batches: at least 100,000",
                hub("publish, batches of 1000", "/per_second"),
                1e5,
            ),
            ("restart: less than a second", restart, -1.0),
        ];
        if goals.iter().all(|(_, figure, _)| figure.is_none()) {
            return Ok(());
        }
        writeln!(out, "\n## Goals\n\n| goal | figure | |\n|---|---|---|")?;
        for (goal, figure, bound) in goals {
            let Some(figure) = figure else { continue };
            // Below zero: at most so much.
            let met = if bound < 0.0 { figure <= -bound } else { figure >= bound };
            let digits = if figure < 100.0 { 2 } else { 0 };
            writeln!(out, "| {goal} | {figure:.digits$} | {} |", if met { "met" } else { "**missed**" })?;
        }
        Ok(())
    }

    /// The machine's, from the least to the most of all measurements.
    fn load_average(&self) -> String {
        let of = |figures: &crate::measure::Figures| figures.report["load_average"].as_f64();
        let mut all: Vec<f64> = self.figures.iter().filter_map(of).collect();
        all.sort_by(f64::total_cmp);
        match all[..] {
            [least, .., most] => format!("{least:.1} to {most:.1}, its own load included"),
            [one] => format!("{one:.1}"),
            [] => "unknown".to_owned(),
        }
    }
}

/// A figure of several rounds.
pub struct Figure {
    least: f64,
    pub median: f64,
    most: f64,
}

impl Figure {
    /// Nothing, where nothing was measured.
    pub fn of(
        measured: &Measured,
        measure: &str,
        contestant: Contestant,
        (_, path, factor, _): Column,
    ) -> Option<Self> {
        let of_these =
            measured.figures.iter().filter(|one| one.measure == measure && one.contestant == contestant);
        let figure = |report: &Value| Some(report.pointer(path)?.as_f64()? * factor);
        let mut values: Vec<f64> = of_these.filter_map(|one| figure(&one.report)).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { least, median: values[values.len() / 2], most })
    }

    fn text(&self, digits: usize) -> String {
        let Self { least, median, most } = self;
        if least == most {
            return format!("{median:.digits$}");
        }
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

fn cpu_name() -> Result<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(name.map_or("an unnamed processor", |(_, name)| name).to_owned())
}
