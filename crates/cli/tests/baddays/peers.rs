//! Peers that vanish: no end, no reset, no answer.

use std::process::{Command, Stdio};

use crate::hub::{Hub, OPEN, PATH, ssekit, until};

/// A network of its own with one cable to here, unplugged when it is wished.
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
        // Of the range for tests of networks (RFC 2544).
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

    /// From now on whatever is sent there is lost, and nothing comes from there.
    fn unplug(&self) {
        let number = self.name.trim_start_matches("ssekit-");
        ip(&format!("-n {} link set sk{number}b down", self.name));
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // Its end of the cable goes with it, and the other end with that.
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
    // One has an update on its way, which nobody acknowledges; the other is only probed.
    hub.publish("busy", "hello");
    until("both are noticed", || hub.subscribers() == 0);
    hub.expect_figure("ssekit_subscriptions_ended_total{reason=\"vanished\"}", |count| count == 2);
    for peer in &mut peers {
        peer.kill().and_then(|()| peer.wait()).expect("it is our child");
    }
}
