//! What this machine does, read from the operating system.

use std::net::IpAddr;
use std::time::Instant;

use serde::Serialize;
use sysinfo::{MemoryRefreshKind, Networks, System};

/// Reads the machine. Figures that are rates cover the time since the read before.
#[derive(Debug)]
pub(crate) struct Machine {
    system: System,
    networks: Networks,
    read: Instant,
}

/// The machine's figures, as they travel in a `stats` event.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// All cores together, in percent of what they could do.
    cpu: f64,
    /// Each core, in percent.
    cores: Vec<f64>,
    memory: Memory,
    network: Network,
}

/// In bytes.
#[derive(Debug, Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

/// In bytes a second. `received` and `sent` count what crosses the machine's border, `loopback` what stays inside.
#[derive(Debug, Default, Serialize)]
struct Network {
    received: u64,
    sent: u64,
    loopback: u64,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let mut machine = Self {
            system: System::new(),
            networks: Networks::new_with_refreshed_list(),
            read: Instant::now(),
        };
        machine.system.refresh_cpu_usage();
        machine
    }

    pub(crate) fn read(&mut self, now: Instant) -> Figures {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        let seconds = (now - self.read).as_secs_f64().max(0.001);
        self.read = now;
        Figures {
            cpu: tenths(self.system.global_cpu_usage()),
            cores: self.system.cpus().iter().map(|core| tenths(core.cpu_usage())).collect(),
            memory: Memory { used: self.system.used_memory(), total: self.system.total_memory() },
            network: self.network(seconds),
        }
    }

    fn network(&self, seconds: f64) -> Network {
        let rate = |bytes: u64| (bytes as f64 / seconds).round() as u64;
        let mut network = Network::default();
        for interface in self.networks.values() {
            let loopback = interface.ip_networks().iter().any(|ip| IpAddr::is_loopback(&ip.addr));
            if loopback {
                network.loopback += rate(interface.received());
            } else {
                network.received += rate(interface.received());
                network.sent += rate(interface.transmitted());
            }
        }
        network
    }
}

/// One digit after the point is all that a quarter of a second can tell.
fn tenths(percent: f32) -> f64 {
    (f64::from(percent) * 10.0).round() / 10.0
}
