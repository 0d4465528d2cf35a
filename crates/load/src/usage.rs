//! CPU time and memory of processes, from Linux's `/proc`.

use std::fs::read_to_string;

use anyhow::{Context, Result};
use serde::Serialize;

/// Resources that some processes have used so far, together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU seconds in user space, of all threads.
    pub(super) user: f64,
    /// CPU seconds in the kernel, of all threads.
    pub(super) system: f64,
    pub(super) memory: Memory,
}

/// Resident memory, in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Memory {
    pub(super) resident: f64,
    /// Part of it that belongs to no file: heap and stacks.
    pub(super) anonymous: f64,
}

impl Usage {
    /// # Errors
    /// When one of the processes does not exist, or the system is not Linux.
    pub(super) fn of(pids: &[u32]) -> Result<Self> {
        let mut usage = Self::default();
        for pid in pids {
            let read = |file| {
                let path = format!("/proc/{pid}/{file}");
                read_to_string(&path).with_context(|| {
                    format!(
                        "cannot read {path}: check that --pid {pid} is the server and that this system is \
                         Linux"
                    )
                })
            };
            usage.add(&read("stat")?, &read("status")?).context("/proc has an unknown format")?;
        }
        Ok(usage)
    }

    /// Usage of these processes; `None` if there are none.
    pub(super) fn of_any(pids: &[u32]) -> Result<Option<Self>> {
        if pids.is_empty() { Ok(None) } else { Self::of(pids).map(Some) }
    }

    fn add(&mut self, stat: &str, status: &str) -> Option<()> {
        // The name in parentheses may contain anything. Behind it, the 12th and 13th fields are ticks of 10
        // ms.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / 100.0);
        let kib = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
        };
        self.user += seconds()?;
        self.system += seconds()?;
        self.memory.resident += kib("VmRSS:")?;
        self.memory.anonymous += kib("RssAnon:")?;
        Some(())
    }

    pub(super) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// Load average of the machine over a minute.
pub(super) fn load_average() -> Option<f64> {
    read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// CPU time between two moments, in µs for each item.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cost {
    pub(super) user: f64,
    pub(super) system: f64,
    pub(super) cpu: f64,
}

impl Cost {
    pub(super) fn between(before: &Usage, after: &Usage, each: u64) -> Self {
        let micros = |seconds: f64| seconds * 1e6 / each.max(1) as f64;
        let (user, system) = (micros(after.user - before.user), micros(after.system - before.system));
        Self { user, system, cpu: user + system }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_process_name_is_skipped() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 250 0 0 20 0 1 0 1 1 1";
        let status = "Name:\ta) b (c\nVmRSS:\t    2048 kB\nRssAnon:\t     1024 kB\n";
        let mut usage = Usage::default();
        usage.add(stat, status).expect("as Linux has it");
        usage.add(stat, status).expect("as Linux has it");
        assert_eq!((usage.user, usage.system), (3.0, 5.0));
        assert_eq!((usage.memory.resident, usage.memory.anonymous), (4096.0, 2048.0));
        assert_eq!(usage.add("42 (a) S 1", status), None);
    }
}
