use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Server, said, wait_for};

/// nchan, from the distribution's packages, in an nginx of its own.
pub fn start() -> Result<Server> {
    install()?;
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    std::fs::write(folder.path().join("nginx.conf"), configuration(port))?;
    let process = Command::new("nginx")
        .arg("-p")
        .arg(folder.path())
        .args(["-c", "nginx.conf"])
        .stderr(Stdio::inherit())
        .spawn()
        .context("nginx does not start")?;
    let server = Server { url: format!("127.0.0.1:{port}"), process, _folder: Some(folder) };
    wait_for(port)?;
    // It listens before its worker is there.
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.pids()?.len() < 2 {
        ensure!(Instant::now() < deadline, "nginx has no worker");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(server)
}

/// Its version.
pub fn version() -> Result<String> {
    install()?;
    let package = said("dpkg-query", &["-W", "-f", "nchan ${Version}", "libnginx-mod-nchan"])?;
    Ok(format!("{}, {package}", said("nginx", &["-v"])?.trim_start_matches("nginx version: ")))
}

fn install() -> Result<()> {
    if Path::new(MODULE).exists() && Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_ok() {
        return Ok(());
    }
    eprintln!("installing nginx and nchan");
    let installed = Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends", "nginx-light", "libnginx-mod-nchan"])
        .stdout(Stdio::null())
        .status();
    ensure!(
        installed.is_ok_and(|status| status.success()),
        "nchan is missing: as root on Debian, apt-get install nginx-light libnginx-mod-nchan; or leave it \
         out, with --servers floor,axum,hub"
    );
    // Debian starts one at once.
    let _ = Command::new("service").args(["nginx", "stop"]).stdout(Stdio::null()).status();
    Ok(())
}

fn configuration(port: u16) -> String {
    format!(
        "load_module {MODULE};
daemon off;
user root;
worker_processes 1;
error_log stderr crit;
pid nginx.pid;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    nchan_shared_memory_size 2G;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /events {{
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }}
        location = /all {{
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message oldest;
        }}
        location = /publish {{
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 1000000;
            nchan_message_timeout 1h;
        }}
    }}
}}
"
    )
}

const MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
