use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A server in a process of its own, which is killed in the end.
pub struct Server {
    pub port: u16,
    process: Child,
}

/// The resources that a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Processor seconds in user space, all threads.
    pub user: f64,
    /// Processor seconds in the kernel, all threads.
    pub system: f64,
    /// Resident memory, in KiB.
    pub memory: f64,
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

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let stat = read_to_string(format!("/proc/{pid}/stat")).context("the server has ended")?;
        // After the name in parentheses: the 12th and 13th fields are ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit(") ").next().context("a stat line")?.split(' ').collect();
        let seconds = |at: usize| anyhow::Ok(fields[at].parse::<f64>()? / 100.0);
        let status = read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a VmRSS line")?;
        Ok(Self {
            user: seconds(11)?,
            system: seconds(12)?,
            memory: memory.trim().trim_end_matches(" kB").parse()?,
        })
    }
}
