//! A disk that is full, and one that is read-only.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::hub::{Hub, until};
use crate::kill::{command, kept};
use crate::stream::{Next, Stream};

/// A file system in memory.
struct Disk(tempfile::TempDir);

fn mount(arguments: &[&str], path: &Path) {
    let ran = Command::new("mount").args(arguments).arg(path).output().expect("`mount` is there");
    let why = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "this test mounts a disk of its own, as root (CAP_SYS_ADMIN): {arguments:?}: {why}"
    );
}

impl Disk {
    fn new(size: &str) -> Self {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "ssekit-test"], disk.path());
        disk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Uses up the remaining space.
    fn fill(&self) {
        let ballast = fs::File::create(self.path().join("ballast")).expect("there is room for a file");
        let mut ballast = &ballast;
        while std::io::Write::write(&mut ballast, &[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        fs::remove_file(self.path().join("ballast")).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy".as_ref(), self.path().as_os_str()]).status();
    }
}

#[test]
fn a_full_disk_is_answered_507_until_there_is_room() {
    let disk = Disk::new("96M");
    let hub = Hub::of(command(&disk.path().join("data"), "127.0.0.1:0").args(["--heartbeat", "1s"]));
    let mut stream = Stream::open(&hub, "topic=a");
    let mut answered = Vec::new();
    for number in 0..20 {
        answered.push(hub.publish("a", &number.to_string()));
        stream.next();
    }
    for round in 0..2 {
        disk.fill();
        let data = "x".repeat(10_000);
        let mut refused = None;
        until("it is told that there is no room", || {
            let answer = hub.try_publish("a", &data);
            if answer.status == 200 {
                answered.push(answer.body);
                stream.next();
                return false;
            }
            refused = Some(answer);
            true
        });
        let refused = refused.expect("it was refused");
        assert_eq!(refused.status, 507, "{refused:?}");
        assert!(
            refused.header("retry-after").is_some()
                && refused.body.contains("urn:ssekit:problem:storage-full"),
            "{refused:?}"
        );
        until("it says so", || !hub.log_lines("the log is full").is_empty());
        // Subscribers stay, get heartbeats, and no refused update; new subscribers are served, from the
        // start, too.
        let beats = hub.figure("ssekit_heartbeats_total");
        hub.expect_figure("ssekit_heartbeats_total", |count| count > beats);
        assert_eq!(stream.wait(Duration::from_millis(1)), Next::Silence);
        let mut other = Stream::open(&hub, "topic=a&lastEventID=earliest");
        for id in &answered {
            assert_eq!(&other.next().id, id);
        }
        disk.free();
        until("it goes on", || {
            let answer = hub.try_publish("a", "again");
            let taken = answer.status == 200;
            if taken {
                answered.push(answer.body);
            }
            taken
        });
        assert_eq!(stream.next().data, "again", "round {round}");
        assert_eq!(other.next().data, "again", "round {round}");
    }
    assert!(hub.figure("ssekit_requests_refused_total{problem=\"storage-full\"}") >= 2);
    let kept: Vec<_> = kept(&hub).into_iter().map(|event| event.id).collect();
    assert_eq!(kept, answered);
}

#[test]
fn a_folder_that_cannot_be_written_is_answered_503_until_it_can() {
    let disk = Disk::new("96M");
    let data = disk.path().join("data");
    let mut hub = Hub::of(&mut command(&data, "127.0.0.1:0"));
    let first = hub.publish("a", "first");
    hub.signal("TERM");
    assert_eq!(hub.wait().code(), Some(0));
    mount(&["-o", "remount,ro"], disk.path());
    match Hub::try_of(&mut command(&data, "127.0.0.1:0")) {
        // It may refuse to start, with the reason.
        Err(said) => assert!(said.contains("ead-only") && said.contains("data"), "{said}"),
        Ok(hub) => {
            let mut stream = Stream::open(&hub, "topic=a&lastEventID=earliest");
            assert_eq!(stream.next().id, first);
            let refused = hub.try_publish("a", "more");
            assert_eq!(refused.status, 503, "{refused:?}");
            assert!(
                refused.header("retry-after").is_some() && refused.body.contains("ead-only"),
                "{refused:?}"
            );
            mount(&["-o", "remount,rw"], disk.path());
            until("it goes on", || hub.try_publish("a", "again").status == 200);
            assert_eq!(stream.next().data, "again");
        }
    }
}
