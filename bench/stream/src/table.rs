use std::fmt::Write;
use std::process::Command;

use anyhow::Result;

use crate::contestant::{AXUM, Contestant, Measured, OURS, SEED};

/// The report in Markdown.
pub fn table(contestants: &[Contestant], rounds: &[(&str, Measured)]) -> Result<String> {
    let of = |name: &str, value: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = rounds.iter().filter(|(n, _)| *n == name).map(|(_, m)| value(m)).collect();
        values.sort_by(f64::total_cmp);
        (values[values.len() / 2], values[0], values[values.len() - 1])
    };
    let mut out = String::from("# One stream, events as fast as they go\n\n");
    let rounds = rounds.len() / contestants.len();
    writeln!(
        out,
        "One HTTP/1.1 connection over loopback; events named `m` with 40 bytes of data. Each server alone in"
    )?;
    writeln!(
        out,
        "its process (the Rust ones on one thread, under `axum::serve`), the same client, {rounds} rounds in"
    )?;
    writeln!(
        out,
        "turns, medians; in parentheses the slowest and the fastest round. The npm package cannot wait"
    )?;
    writeln!(out, "for its client: so that its memory has a limit, the bench holds its producer back.\n")?;
    writeln!(
        out,
        "| server | M events/s | ssekit is faster by | CPU per event | peak memory | the same, client not \
         reading |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let ours = of(OURS, |m| m.rate).0;
    for contestant in contestants {
        let name = contestant.name;
        let (rate, slowest, fastest) = of(name, |m| m.rate / 1e6);
        let cpu = of(name, |m| m.cpu).0;
        let reading = of(name, |m| m.reading as f64 / 1024.0).0;
        let stalled = of(name, |m| m.stalled as f64 / 1024.0).0;
        writeln!(
            out,
            "| {name} | {rate:.3} ({slowest:.3}–{fastest:.3}) | {:.1} | {cpu:.0} ns | {reading:.1} MiB | \
             {stalled:.1} MiB |",
            ours / 1e6 / rate
        )?;
    }
    let goal = |name, times: f64| {
        let ratio = ours / of(name, |m| m.rate).0;
        format!("{times} × {name}: {} ({ratio:.1})", if ratio >= times { "met" } else { "missed" })
    };
    writeln!(out, "\nGoals: {}; {}.\n", goal(AXUM, 3.0), goal(SEED, 40.0))?;
    writeln!(
        out,
        "{} on {}, {} cores; {};\nNode {}; `sveltekit-sse` 0.14.3.",
        said("date", &["-u", "+%F"])?,
        cpu_name()?,
        std::thread::available_parallelism()?,
        said("rustc", &["--version"])?,
        said("node", &["--version"])?
    )?;
    writeln!(
        out,
        "Command: `cargo run --release --manifest-path bench/Cargo.toml -p ssekit-bench-stream -- --write`"
    )?;
    Ok(out)
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
