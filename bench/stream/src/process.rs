use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// A server in a process of its own, which is killed in the end.
pub struct Server {
    pub port: u16,
    process: Child,
}

impl Server {
    /// Starts it, and waits for the line with its port.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn().context("the server does not start")?;
        let output = process.stdout.take().context("the server has an output")?;
        let mut server = Self { port: 0, process };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        server.port = line.trim().parse().with_context(|| format!("the server's port, not {line:?}"))?;
        Ok(server)
    }

    /// Processor time so far, in user space and the kernel, all threads.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name in parentheses: the 12th and 13th fields are ticks of 10 ms.
        let fields = stat.rsplit(") ").next().context("a stat line")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(10 * ticks))
    }

    /// The most memory that was resident so far, in KiB.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a VmHWM line")?;
        Ok(peak.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
