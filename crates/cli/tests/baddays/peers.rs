//! Peers that vanish: without an end, a reset or an answer.

use std::process::{Command, Stdio};

use crate::hub::{Hub, OPEN, PATH, ssekit, until};

/// Network namespace with a virtual cable to this one, which can be unplugged.
struct Elsewhere {
    name: String,
    here: String,
    there: String,
}

fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split_whitespace()).output();
    let ran = ran.expect("this test needs `ip`: `apt-get install iproute2` (Debian, Ubuntu)");
    assert!(
        ran.status.success(),
        "this test makes a network, as root (CAP_NET_ADMIN, CAP_SYS_ADMIN): `ip {arguments}`: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

impl Elsewhere {
    fn new() -> Self {
        let number = std::process::id() % 60_000;
        let name = format!("ssekit-{number}");
        // In the range for network tests (RFC 2544).
        let subnet = format!("198.18.{}", number % 250);
        let elsewhere = Self { here: format!("{subnet}.1"), there: format!("{subnet}.2"), name };
        let Self { name, here, there } = &elsewhere;
        ip(&format!("netns add {name}"));
        ip(&format!("link add sk{number}a type veth peer name sk{number}b netns {name}"));
        ip(&format!("addr add {here}/24 dev sk{number}a"));
        ip(&format!("link set sk{number}a up"));
        ip(&format!("-n {name} addr add {there}/24 dev sk{number}b"));
        ip(&format!("-n {name} link set sk{number}b up"));
        elsewhere
    }

    /// From now on, packets in both directions are lost.
    fn unplug(&self) {
        let number = self.name.trim_start_matches("ssekit-");
        ip(&format!("-n {} link set sk{number}b down", self.name));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Its end of the cable is removed with it, and so the other end.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[test]
fn a_peer_that_vanishes_is_noticed_whether_anything_is_sent_to_it_or_not() {
    let elsewhere = Elsewhere::new();
    let addr = format!("{}:0", elsewhere.here);
    let hub = Hub::of(ssekit().args(OPEN).args(["--dev-anywhere", "--addr", &addr]).args([
        "--peer-timeout",
        "4s",
        "--heartbeat",
        "1h",
        "--stall",
        "1h",
    ]));
    let subscribe = |topic: &str| {
        let url = format!("http://{}{PATH}?topic={topic}", hub.addr);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &elsewhere.name, "curl", "--silent", "--no-buffer", &url]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("this test needs curl")
    };
    let mut peers = [subscribe("idle"), subscribe("busy")];
    hub.expect_subscribers(2);
    elsewhere.unplug();
    // One subscriber has an unacknowledged update on its way; the other is only probed.
    hub.publish("busy", "hello");
    until("both are noticed", || hub.subscribers() == 0);
    hub.expect_figure("ssekit_subscriptions_ended_total{reason=\"vanished\"}", |count| count == 2);
    for peer in &mut peers {
        peer.kill().and_then(|()| peer.wait()).expect("it is our child");
    }
}
