//! Files for systemd and containers.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::hub::{Hub, KEY, folder, free_addr, read_example};
use crate::program::{PATIENCE, Program, run, ssekit};

#[test]
fn systemd_accepts_the_units_and_rates_the_confinement_as_good() {
    let folder = folder("units");
    for name in ["ssekit.service", "ssekit.socket"] {
        let unit = read_example(name).replace("/usr/local/bin/ssekit", env!("CARGO_BIN_EXE_ssekit"));
        std::fs::write(folder.join(name), unit).expect("a file can be written");
    }
    let service = folder.join("ssekit.service");
    let analyze = |arguments: &[&str]| {
        let there = Command::new("systemd-analyze").arg("--version").output().is_ok();
        assert!(there, "this test needs systemd-analyze: `apt-get install systemd` (Debian, Ubuntu)");
        let output = run(Command::new("systemd-analyze").args(arguments).arg(&service));
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    let (sound, said) = analyze(&["verify", "--man=no"]);
    // The output may name other units of the machine.
    assert!(sound && !said.contains("ssekit"), "{said}");
    // In tenths, of 100; a service without any restriction has 96.
    let (confined, said) = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(confined, "{said}");
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn connections_before_the_start_wait_and_systemd_is_notified_of_readiness() {
    let folder = folder("activation");
    let notified = UnixDatagram::bind(folder.join("notify")).expect("a socket can be made");
    notified.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let next = || {
        let mut state = [0; 256];
        let length = notified.recv(&mut state).expect("systemd is told");
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    let addr = free_addr();
    // As systemd does for a unit: the socket exists, and the program starts at the first connection.
    let mut service = Program::start(
        Command::new("systemd-socket-activate")
            .args(["--listen", &addr, "--setenv", &format!("SSEKIT_KEY={KEY}")])
            .args(["--setenv", &format!("NOTIFY_SOCKET={}", folder.join("notify").display())])
            .arg(env!("CARGO_BIN_EXE_ssekit"))
            .args(["serve", "--store", "memory", "--anonymous"]),
    );
    service.stderr.find("Listening on");
    let answer =
        run(Command::new("curl").args(["-sS", "--max-time", "30", &format!("http://{addr}/readyz")]));
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "ready\n", "{answer:?}");
    assert!(std::iter::repeat_with(next).take(5).any(|state| state.lines().any(|line| line == "READY=1")));
    service.signal("TERM");
    assert!(std::iter::repeat_with(next).take(5).any(|state| state.lines().any(|line| line == "STOPPING=1")));
    assert!(service.wait().success());
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn the_example_configuration_is_valid_without_warnings() {
    let folder = folder("configuration");
    let text = read_example("ssekit.toml");
    let text = text.replace("/etc/ssekit", &folder.display().to_string());
    let text = text.replace("/var/lib/ssekit", &folder.join("store").display().to_string());
    let text = text.replace("127.0.0.1:3000\"", &format!("{}\"", free_addr()));
    std::fs::write(folder.join("key"), KEY).expect("a file can be written");
    let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("key"), only_ours).expect("it is ours");
    let file = folder.join("ssekit.toml");
    std::fs::write(&file, text).expect("a file can be written");
    let output = run(ssekit().args(["serve", "--check", "--config"]).arg(&file));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the configuration is valid\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no warnings either");
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn the_container_is_built_from_the_files_that_cargo_needs() {
    let folder = folder("container");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for copied in instructions("COPY").iter().filter(|copied| !copied.starts_with("--from")) {
        let mut paths: Vec<&str> = copied.split_whitespace().collect();
        let to = paths.pop().expect("COPY has a destination");
        for path in paths {
            let to = if to == "./" { Path::new(path) } else { Path::new(to) };
            manifests(&root.join(path), &folder.join(to));
        }
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = run(Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .current_dir(&folder));
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let packages = metadata["packages"].as_array().expect("packages");
    let program = packages.iter().find(|package| package["name"] == "ssekit-cli").expect("it is a member");
    assert!(program["targets"].as_array().expect("targets").iter().any(|target| target["name"] == "ssekit"));
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn the_container_starts_a_hub_and_knows_whether_it_is_well() {
    // Each variable has its effect on the hub, which `--print` shows.
    let variables = instructions("ENV").join(" ");
    let variables: Vec<(&str, &str)> = variables
        .split_whitespace()
        .map(|set| set.split_once('=').expect("a variable has a value"))
        .collect();
    let command = list("CMD");
    const PROGRAM: &str = "/usr/local/bin/ssekit";
    assert_eq!((list("ENTRYPOINT"), &command[0]), (vec![PROGRAM.to_owned()], &"serve".to_owned()));
    let printed =
        run(ssekit().args(&command).arg("--print").envs(variables.iter().copied()).env("SSEKIT_KEY", KEY));
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert_eq!(variables.len(), 2);
    for (name, value) in variables {
        let line = printed.lines().find(|line| line.ends_with(&format!("# {name}")));
        assert!(line.is_some_and(|line| line.contains(value)), "{name}={value} is not in\n{printed}");
    }

    let health = instructions("HEALTHCHECK").join("");
    let (_, health) = health.split_once(" CMD ").expect("a check runs something");
    let health: Vec<String> = serde_json::from_str(health).expect("a list of JSON");
    assert_eq!(health[0], PROGRAM);
    let hub = Hub::start(&[]);
    // The image has the variable for its port.
    let check = |port: u16| {
        run(ssekit().args(&health[1..]).env("SSEKIT_ADDR", format!("0.0.0.0:{port}"))).status.success()
    };
    assert!(check(hub.addr.port()));
    let port = hub.addr.port();
    drop(hub);
    assert!(!check(port), "there is none any more");
}

/// Values of an instruction in the Containerfile, with continued lines joined.
fn instructions(name: &str) -> Vec<String> {
    let text = read_example("Containerfile").replace("\\\n", "");
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// Value of the last instruction, which is a JSON list.
fn list(name: &str) -> Vec<String> {
    let last = instructions(name).pop().unwrap_or_else(|| panic!("there is no {name}"));
    serde_json::from_str(&last).expect("a list of JSON")
}

/// Copies the files that cargo needs to know the packages: manifests, and empty sources.
fn manifests(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("a folder can be made");
        let is_manifest =
            ["toml", "lock"].iter().any(|kind| from.extension().is_some_and(|found| found == *kind));
        let text =
            if is_manifest { std::fs::read(from).expect("a manifest can be read") } else { Vec::new() };
        std::fs::write(to, text).expect("a file can be written");
        return;
    }
    let entries: Vec<PathBuf> = std::fs::read_dir(from)
        .unwrap_or_else(|error| panic!("{} is copied, and is not there: {error}", from.display()))
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    for entry in entries {
        let name = entry.file_name().expect("an entry has a name");
        let is_source = entry.is_dir()
            || entry
                .extension()
                .is_some_and(|kind| ["rs", "toml", "lock"].iter().any(|known| kind == *known));
        if is_source && !["node_modules", "target", "dist"].iter().any(|left_out| name == *left_out) {
            manifests(&entry, &to.join(name));
        }
    }
}
