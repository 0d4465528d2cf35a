//! Load of this machine, read from the operating system.

use std::net::IpAddr;
use std::time::Instant;

use serde::Serialize;
use sysinfo::{MemoryRefreshKind, Networks, System};

/// Reader of the machine. Rates cover the time since the last reading.
#[derive(Debug)]
pub(crate) struct Machine {
    system: System,
    networks: Networks,
    read: Instant,
}

/// Figures of the machine, in the form of a `stats` event.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// All processors together, in percent of their capacity.
    cpu: f64,
    /// Each processor, in percent.
    cores: Vec<f64>,
    memory: Memory,
    network: Network,
}

/// Bytes.
#[derive(Debug, Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

/// Bytes per second. `received` and `sent` count traffic with other machines, `loopback` traffic inside.
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

/// Rounds to one decimal digit, which is the precision of a quarter of a second.
fn tenths(percent: f32) -> f64 {
    (f64::from(percent) * 10.0).round() / 10.0
}
