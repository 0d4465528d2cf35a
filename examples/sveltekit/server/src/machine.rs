//! Figures of this machine.

use serde::Serialize;
use sysinfo::{MemoryRefreshKind, System};

pub(crate) struct Machine {
    system: System,
}

/// The data of a `stats` event.
#[derive(Serialize)]
pub(crate) struct Stats {
    /// In milliseconds since 1970.
    at: u64,
    /// In percent of all cores.
    cpu: f32,
    /// In bytes.
    memory: Memory,
}

#[derive(Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self { system }
    }

    /// The processor's figure is of the time since the read before.
    pub(crate) fn read(&mut self, at: u64) -> Stats {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let memory = Memory { used: self.system.used_memory(), total: self.system.total_memory() };
        Stats { at, cpu: (self.system.global_cpu_usage() * 10.0).round() / 10.0, memory }
    }
}
