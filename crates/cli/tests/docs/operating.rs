//! The output of the first commands of `docs/operating.md`, and the times of `docs/timeouts.md`.

use std::path::Path;
use std::process::Command;

use crate::blocks::{read, root};
use crate::hub::{PATH, folder, free_addr};
use crate::program::{Program, run};

#[test]
fn the_commands_for_the_own_machine_work() {
    let text = read("docs/operating.md");
    let (_, own_machine) = text.split_once("\n## On your own machine\n").expect("the chapter is there");
    let (own_machine, _) = own_machine.split_once("\n## ").expect("it is not the last one");
    let blocks: Vec<&str> =
        own_machine.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [serve, publish, with_key] = blocks[..] else { panic!("three blocks, not {blocks:?}") };

    let (folder, addr) = (folder("operating"), free_addr());
    std::os::unix::fs::symlink(root().join("examples"), folder.join("examples")).expect("a link can be made");
    let program = Path::new(env!("CARGO_BIN_EXE_ssekit")).parent().expect("a program is in a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-euc", &script.replace("127.0.0.1:3000", &addr)])
            .current_dir(&folder)
            .env("PATH", &path);
        command.env("SSEKIT_ADDR", &addr).env("HUB", format!("http://{addr}{PATH}"));
        command
    };
    // `exec`, so that the signal ends the hub, not the shell around it.
    let hub = Program::start(&mut shell(&serve.replace("ssekit serve", "exec ssekit serve")));
    hub.stdout.find("the hub");
    let again = with_key.lines().last().expect("a command");
    let output = run(&mut shell(&format!("{publish}{with_key}\necho\n{again}\n")));
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    let id = lines[0];
    assert!(id.starts_with("urn:ssekit:"), "{printed}");
    assert_eq!(lines[1..5], [&format!("id: {id}"), "event: message", "data: hello, world", ""], "{printed}");
    let [first, again] = lines[5..] else { panic!("an id for each request: {printed}") };
    assert!(first.starts_with("urn:ssekit:") && first != id, "{printed}");
    assert_eq!(first, again, "{printed}");
    assert!(folder.join("ssekit-data").is_dir(), "the history is where it is said to be");
    drop(hub);
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

/// The interval of heartbeats is shorter than each idle timeout.
///
/// Where the whole response is limited, the table has a recommended setting.
#[test]
fn the_heartbeat_is_shorter_than_every_idle_timeout() {
    let chapter = read("docs/timeouts.md");
    let heartbeat = ssekit_cli::config::Config::default().heartbeat.as_secs();
    assert!(chapter.contains(&format!("each {heartbeat} s (`heartbeat`)")), "{chapter}");
    let rows = chapter.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows: Vec<Vec<&str>> = rows.skip(1).map(|row| row.split(" | ").collect()).collect();
    let seconds = |cell: &str| match cell {
        "none" => None,
        cell => Some(cell.strip_suffix(" s").and_then(|number| number.parse::<u64>().ok()).expect("seconds")),
    };
    for row in &rows {
        let [name, idle, whole, setting, source] = row[..] else { panic!("five cells: {row:?}") };
        assert!(seconds(idle).is_none_or(|idle| idle > heartbeat), "{name}: {idle} is too short");
        assert!(seconds(whole).is_none() || setting != "–", "{name}: what is to be set?");
        assert!(!source.is_empty(), "{name}: who says so?");
    }
    // The settings of the examples are those in the table.
    for (file, directives) in [
        ("nginx.conf", &["proxy_read_timeout", "send_timeout"][..]),
        ("haproxy.cfg", &["timeout client", "timeout server"]),
    ] {
        let row =
            rows.iter().find(|row| row[0].starts_with(&format!("[our {file}]"))).expect("it is in the table");
        let text = crate::hub::read_example(file);
        for directive in directives {
            let set = format!("{directive} {}", row[1].replace(' ', ""));
            assert!(text.contains(&set), "{file}: {set}");
        }
    }
    assert!(rows.len() > 15, "{rows:?}");
}
