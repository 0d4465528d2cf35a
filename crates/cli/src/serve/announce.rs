//! The addresses of a hub that has started.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, LogFormat};

/// Writes the addresses and flushes them, because scripts wait for them. If logs are JSON, logs them instead.
pub(super) fn write(config: &Config, local: &[SocketAddr], out: &mut impl Write) -> io::Result<()> {
    let scheme = if config.tls.cert.is_some() { "https" } else { "http" };
    if config.log.format == LogFormat::Json {
        for addr in local {
            tracing::info!(url = format!("{scheme}://{}{}", reachable(*addr), config.hub_path), "listening");
        }
        if let Some(path) = &config.unix {
            tracing::info!(unix = %path.display(), "listening");
        }
        return Ok(());
    }
    let program = std::env::args().next().unwrap_or_else(|| "ssekit".to_owned());
    for (number, addr) in local.iter().enumerate() {
        let url = format!("{scheme}://{}", reachable(*addr));
        if number > 0 {
            writeln!(out, "  also on          {url}")?;
            continue;
        }
        writeln!(out, "ssekit listens on {addr}; Ctrl-C stops it\n")?;
        if config.demo {
            writeln!(out, "  demo page        {url}/")?;
            writeln!(out, "  demo stream      curl -N {url}/stats")?;
            writeln!(out, "  our client       {program} listen {url}/events")?;
        }
        writeln!(out, "  the hub          {url}{}", config.hub_path)?;
        if config.ui {
            writeln!(out, "  admin page       {url}/hub/")?;
        }
    }
    if let Some(path) = &config.unix {
        writeln!(out, "  unix socket      {}", path.display())?;
    }
    out.flush()
}

/// Address at which this machine reaches the listener: the loopback address if it listens on all addresses.
pub(crate) fn reachable(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}
