use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use crate::rounds::{self, CONTESTANTS, HALF, Run, Scenario, WINDOW};
use crate::server::Contestant;
use crate::server::broadcast::CAPACITY;

/// The report in Markdown.
pub fn table(runs: &[Run]) -> Result<String> {
    let mut out = String::from("# One event to many subscribers\n\n");
    let rounds = runs.len() / CONTESTANTS.len() / rounds::SCENARIOS.len();
    writeln!(
        out,
        "\
HTTP/1.1 over loopback, events with 100 bytes of data, published by `POST` over one connection. Each server
runs in its own process, the load in another on the same cores; {rounds} rounds in turns, medians, in
parentheses the least and the most. The floor is one thread that knows its subscribers and calls `send` for
each, with no runtime; it loses bytes that do not fit into a full buffer. The others run under `axum::serve`,
on tokio's multi-thread runtime. axum's broadcast keeps {CAPACITY} events."
    )?;

    steady(&mut out, runs)?;
    unwaiting(&mut out, runs)?;
    memory(&mut out, runs)?;
    stalled(&mut out, runs)?;
    goals(&mut out, runs)?;
    writeln!(
        out,
        "\n{} on {}, {} cores; Linux {};\n{}; axum 0.8, tokio 1.",
        said("date", &["-u", "+%F"])?,
        cpu_name()?,
        std::thread::available_parallelism()?,
        said("uname", &["-r"])?,
        said("rustc", &["--version"])?,
    )?;
    writeln!(
        out,
        "Command: `cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-fanout -- --write`"
    )?;
    Ok(out)
}

fn steady(out: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(out, "\n## A steady publisher\n")?;
    writeln!(
        out,
        "The server's processor time for one delivery, user and system, and how long an event was on its \
         way.\n"
    )?;
    writeln!(
        out,
        "| subscribers | events/s | server | CPU per delivery | of it user | × axum | p50 | p99 | events a \
         read | lost |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for subscribers in [1000, 10_000] {
        let rate = rounds::rate(subscribers);
        for &contestant in CONTESTANTS {
            let of = |name, value: fn(&Run) -> f64| median(runs, name, Scenario::Readers(subscribers), value);
            let cpu = of(contestant, |run| run.steady().cpu());
            writeln!(
                out,
                "| {subscribers} | {rate} | {} | {} µs | {:.2} µs | {:.2} | {} ms | {} ms | {:.1} | {:.1} % \
                 |",
                contestant.title(),
                cpu.text(2),
                of(contestant, |run| run.steady().user).median,
                cpu.median / of(Contestant::Axum, |run| run.steady().cpu()).median,
                of(contestant, |run| run.steady().p50).text(2),
                of(contestant, |run| run.steady().p99).text(2),
                of(contestant, |run| run.steady().events_per_read).median,
                of(contestant, |run| run.steady().lost()).most,
            )?;
        }
    }
    Ok(())
}

fn unwaiting(out: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(out, "\n## A publisher that does not wait\n")?;
    writeln!(
        out,
        "It publishes again as soon as it is answered: once without a limit, and once at most {WINDOW} \
         events\n\
         ahead of the slowest subscriber, so that no subscriber has to lose any.\n"
    )?;
    writeln!(
        out,
        "| subscribers | server | deliveries/s | lost | × axum | with a window, deliveries/s | lost | × \
         axum | CPU per delivery |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for subscribers in [1000, 10_000] {
        for &contestant in CONTESTANTS {
            let of = |name, value: fn(&Run) -> f64| median(runs, name, Scenario::Readers(subscribers), value);
            let free = of(contestant, |run| run.unwaiting().per_second() / 1e3);
            let windowed = of(contestant, |run| run.windowed().per_second() / 1e3);
            writeln!(
                out,
                "| {subscribers} | {} | {} k | {:.1} % | {:.2} | {} k | {:.1} % | {:.2} | {} µs |",
                contestant.title(),
                free.text(0),
                of(contestant, |run| run.unwaiting().lost()).median,
                free.median / of(Contestant::Axum, |run| run.unwaiting().per_second() / 1e3).median,
                windowed.text(0),
                of(contestant, |run| run.windowed().lost()).median,
                windowed.median / of(Contestant::Axum, |run| run.windowed().per_second() / 1e3).median,
                of(contestant, |run| run.windowed().cpu()).text(2),
            )?;
        }
    }
    Ok(())
}

fn memory(out: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(out, "\n## Memory of an idle subscriber\n")?;
    writeln!(
        out,
        "Growth of the server's resident memory for each, without the memory of the system for a socket.\n"
    )?;
    writeln!(out, "| server | 1000 subscribers | 10,000 subscribers |\n|---|---|---|")?;
    for &contestant in CONTESTANTS {
        let of = |subscribers| {
            median(runs, contestant, Scenario::Readers(subscribers), Run::memory_per_subscriber).text(2)
        };
        writeln!(out, "| {} | {} KiB | {} KiB |", contestant.title(), of(1000), of(10_000))?;
    }
    Ok(())
}

fn stalled(out: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(out, "\n## {HALF} stalled subscribers beside {HALF} that read\n")?;
    writeln!(
        out,
        "The stalled ones never read; events have filled the system's buffers for them before. 100 \
         events/s.\n"
    )?;
    writeln!(
        out,
        "| server | p99 without them | with them | × | CPU per delivery without | with | memory without | \
         with |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for &contestant in CONTESTANTS {
        let of = |scenario, value: fn(&Run) -> f64| median(runs, contestant, scenario, value);
        let both = |value, digits| {
            let (alone, stalled) = (of(Scenario::Alone, value), of(Scenario::Stalled, value));
            (alone.text(digits), stalled.text(digits), stalled.median / alone.median)
        };
        let p99 = both(|run| run.steady().p99, 2);
        let cpu = both(|run| run.steady().cpu(), 2);
        let memory = both(|run| run.steady().memory / 1024.0, 1);
        writeln!(
            out,
            "| {} | {} ms | {} ms | {:.2} | {} µs | {} µs | {} MiB | {} MiB |",
            contestant.title(),
            p99.0,
            p99.1,
            p99.2,
            cpu.0,
            cpu.1,
            memory.0,
            memory.1
        )?;
    }
    Ok(())
}

/// The goals of ssekit, in the medians.
fn goals(out: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(out, "\n## Goals\n\n| goal | figure | |\n|---|---|---|")?;
    let mut goal = |what: &str, figure: f64, met: bool| {
        writeln!(out, "| {what} | {figure:.2} | {} |", if met { "met" } else { "**missed**" })
    };
    for subscribers in [1000, 10_000] {
        let of = |contestant, value| median(runs, contestant, Scenario::Readers(subscribers), value).median;
        let ratio = |value| of(Contestant::Ssekit, value) / of(Contestant::Axum, value);
        let cpu = ratio(|run| run.steady().cpu());
        // A server that falls behind sends events together, and each costs it less.
        let keeps_up = of(Contestant::Ssekit, |run| run.steady().events_per_read) < 1.05;
        let what =
            format!("CPU per delivery, {subscribers} subscribers: at most 0.7 × axum, one event at a time");
        goal(&what, cpu, cpu <= 0.7 && keeps_up)?;
        let unwaiting = ratio(|run| run.unwaiting().per_second());
        goal(
            &format!("deliveries/s, {subscribers} subscribers: at least 2 × axum"),
            unwaiting,
            unwaiting >= 2.0,
        )?;
        let gathering = of(Contestant::Gathering, |run| run.unwaiting().per_second());
        let gathering = gathering / of(Contestant::Axum, |run| run.unwaiting().per_second());
        goal(
            &format!("deliveries/s, {subscribers} subscribers, `gather(10 ms)`: at least 2 × axum"),
            gathering,
            gathering >= 2.0,
        )?;
        let windowed = ratio(|run| run.windowed().per_second());
        goal(&format!("the same with a window, {subscribers} subscribers"), windowed, windowed >= 2.0)?;
        let memory = ratio(Run::memory_per_subscriber);
        goal(&format!("memory, {subscribers} subscribers: less than axum"), memory, memory < 1.0)?;
    }
    let p99 = |scenario| median(runs, Contestant::Ssekit, scenario, |run| run.steady().p99).median;
    let p99 = p99(Scenario::Stalled) / p99(Scenario::Alone);
    goal(&format!("p99 beside {HALF} stalled subscribers: at most 1.1 × without"), p99, p99 <= 1.1)?;
    Ok(())
}

/// A figure of several rounds.
struct Figure {
    least: f64,
    median: f64,
    most: f64,
}

impl Figure {
    fn text(&self, digits: usize) -> String {
        let Self { least, median, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }
}

fn median(runs: &[Run], contestant: Contestant, scenario: Scenario, value: fn(&Run) -> f64) -> Figure {
    let of_these = runs.iter().filter(|run| run.contestant == contestant && run.scenario == scenario);
    let mut values: Vec<f64> = of_these.map(value).collect();
    values.sort_by(f64::total_cmp);
    Figure { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn cpu_name() -> Result<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo")?;
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(name.map_or("an unnamed processor", |(_, name)| name).to_owned())
}
