//! The commands and small programs of each document run in the order of the document.
//!
//! A command that does not end, such as a hub or a stream, runs beside the following ones. `cargo run
//! --release` stands for the built program. Other commands of cargo are checked and not run, because they
//! would build, download or change something.

use std::thread;

use crate::blocks::{Block, Page, files, folders, pages, read, root};
use crate::program::{Program, run};
use crate::workspace::Workspace;

#[test]
fn the_commands_of_every_document_work() {
    let mut documents = 0;
    thread::scope(|scope| {
        for page in pages() {
            let blocks: Vec<Block> = page.blocks().into_iter().filter(is_run).collect();
            if blocks.is_empty() {
                continue;
            }
            documents += 1;
            // A failure names its thread.
            let thread = thread::Builder::new().name(page.path.clone());
            thread.spawn_scoped(scope, move || run_blocks(&blocks)).expect("a thread can be started");
        }
    });
    assert!(documents > 10, "only {documents} documents have commands");
}

#[test]
fn commands_that_no_test_runs_are_commands_of_a_shell() {
    let workspace = Workspace::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "sh" && block.no_run) {
            let script = workspace.write("block.sh", &block.text);
            let read = run(std::process::Command::new("sh").arg("-n").arg(script));
            assert!(read.status.success(), "{}: {read:?}", block.place);
        }
    }
}

fn is_run(block: &Block) -> bool {
    !block.no_run && ["php", "python", "ruby", "sh"].contains(&&*block.language)
}

fn run_blocks(blocks: &[Block]) {
    let mut session = Session { workspace: Workspace::new(), running: Vec::new() };
    for block in blocks {
        match &*block.language {
            "sh" => session.run_commands(block),
            _ => session.run_program(block),
        }
    }
    session.expect_events();
}

/// A document that is being run.
struct Session {
    workspace: Workspace,
    /// Commands that do not end.
    running: Vec<(Endless, Program)>,
}

/// A command that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endless {
    /// `ssekit serve`
    Hub,
    /// `curl -N`
    Curl,
    /// `ssekit listen`
    Listen,
}

impl Session {
    fn run_commands(&mut self, block: &Block) {
        let text = self.workspace.adapt(&block.text);
        let mut script = String::new();
        for command in commands(&text) {
            let command = of_program(&command);
            if let Some(arguments) = command.strip_prefix("cargo ") {
                check_cargo(arguments).unwrap_or_else(|fault| panic!("{}: {command}: {fault}", block.place));
            } else if let Some(endless) = Endless::of(&command) {
                self.run_script(block, &std::mem::take(&mut script));
                self.start(endless, &command);
            } else {
                script.push_str(&command);
                script.push('\n');
            }
        }
        self.run_script(block, &script);
    }

    /// Runs commands to their end. Their variables are those of the following commands, too.
    fn run_script(&self, block: &Block, script: &str) {
        if script.trim().is_empty() {
            return;
        }
        let script = format!("set -a\n{script}\nset +a\nexport -p > .environment");
        let output = run(&mut self.workspace.shell(&script));
        assert!(output.status.success(), "{}: {output:?}", block.place);
    }

    fn start(&mut self, endless: Endless, command: &str) {
        if endless == Endless::Hub {
            // A reader stops a hub before another one listens on the same address.
            self.expect_events();
            self.running.clear();
        }
        let program = Program::start(&mut self.workspace.shell(&format!("exec {command}")));
        match endless {
            Endless::Hub => drop(program.stdout.find("the hub")),
            Endless::Curl => drop(program.stdout.next().expect("the first line of a stream")),
            Endless::Listen => drop(program.stderr.find("connected")),
        }
        self.running.push((endless, program));
    }

    /// Runs a program that publishes, and prints the id.
    fn run_program(&self, block: &Block) {
        let workspace = &self.workspace;
        let file = format!("block.{}", block.language);
        workspace.write(&file, &workspace.adapt(&block.text));
        let command = match &*block.language {
            "php" => {
                // Debian's package; a program with Composer requires `vendor/autoload.php`.
                let autoload = "<?php require_once 'Symfony/Component/Mercure/autoload.php';";
                workspace.write("prepend.php", autoload);
                "php -d auto_prepend_file=prepend.php"
            }
            "python" => "python3",
            _ => "ruby",
        };
        let output = run(&mut workspace.shell(&format!("exec {command} {file}")));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.contains("urn:ssekit:"), "{}: {output:?}", block.place);
    }

    /// Checks that each stream has received an event.
    fn expect_events(&self) {
        for (endless, program) in &self.running {
            if *endless != Endless::Hub {
                program.stdout.find("data");
            }
        }
    }
}

impl Endless {
    fn of(command: &str) -> Option<Self> {
        let words: Vec<&str> = without_comment(command).split_whitespace().collect();
        let has = |flags: &[&str]| words.iter().any(|word| flags.contains(word));
        let has_short = |letter: char| {
            words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter))
        };
        match words[..] {
            ["ssekit"] => Some(Self::Hub),
            ["ssekit", "serve", ..] => (!has(&["--check", "--print", "--help"])).then_some(Self::Hub),
            ["ssekit", "listen", ..] => (!has(&["-n", "--no-reconnect", "--help"])).then_some(Self::Listen),
            ["curl", ..] => has_short('N').then_some(Self::Curl),
            _ => None,
        }
    }
}

/// The commands of a block, with continued lines joined.
fn commands(text: &str) -> Vec<String> {
    text.replace("\\\n", " ").lines().map(str::to_owned).collect()
}

fn without_comment(command: &str) -> &str {
    command.split_once(" #").map_or(command, |(command, _)| command)
}

/// Replaces cargo by the program that it runs.
fn of_program(command: &str) -> String {
    match command.strip_prefix("cargo run --release") {
        Some(rest) if without_comment(rest).trim().is_empty() => format!("ssekit{rest}"),
        Some(rest) if rest.starts_with(" -- ") => rest.replacen(" --", "ssekit", 1),
        _ => command.to_owned(),
    }
}

/// Checks that a command of cargo names a command, crate, feature, example or test that exists.
fn check_cargo(arguments: &str) -> Result<(), String> {
    let words: Vec<&str> = without_comment(arguments).split_whitespace().collect();
    match words[..] {
        ["xtask", command, ..] => {
            let is_it = |line: &str| line.split_whitespace().next() == Some(command);
            let usage = read("xtask/src/main.rs");
            usage.lines().any(is_it).then_some(()).ok_or_else(|| "xtask has no such command".to_owned())
        }
        ["add", name, ref rest @ ..] => {
            let list = rest.iter().skip_while(|word| **word != "--features").nth(1);
            let features: Vec<&str> = list.map_or_else(Vec::new, |list| list.split(',').collect());
            match manifest(name) {
                Some(manifest) => features.iter().try_for_each(|feature| has(&manifest, feature)),
                None => has(&read("Cargo.toml"), name),
            }
        }
        ["install", name] => manifest(name).map(drop).ok_or_else(|| format!("there is no crate {name}")),
        ["run", ref rest @ ..] => {
            let name = rest.iter().skip_while(|word| **word != "--example").nth(1);
            let name = name.ok_or("it runs no example")?;
            let found = files("examples", "rs").contains(&format!("examples/{name}.rs"));
            found.then_some(()).ok_or_else(|| format!("there is no example {name}"))
        }
        ["test", "-p", name, "--test", test, ..] => {
            let folder = folders("crates").into_iter().find(|path| is_crate(path, name));
            let folder = folder.ok_or_else(|| format!("there is no crate {name}"))?;
            let exists = |path: String| root().join(path).exists();
            let test = format!("{folder}/tests/{test}");
            (exists(format!("{test}.rs")) || exists(format!("{test}/main.rs")))
                .then_some(())
                .ok_or_else(|| format!("there is no {test}"))
        }
        _ => Err("this suite does not know how to check it".to_owned()),
    }
}

/// Whether a manifest has an entry of this name.
fn has(manifest: &str, name: &str) -> Result<(), String> {
    let is_there = manifest.lines().any(|line| line.starts_with(&format!("{name} = ")));
    is_there.then_some(()).ok_or_else(|| format!("no manifest has {name}"))
}

/// Manifest of a crate of this repository.
fn manifest(name: &str) -> Option<String> {
    let folder = folders("crates").into_iter().find(|path| is_crate(path, name))?;
    Some(read(&format!("{folder}/Cargo.toml")))
}

fn is_crate(folder: &str, name: &str) -> bool {
    read(&format!("{folder}/Cargo.toml")).starts_with(&format!("[package]\nname = \"{name}\"\n"))
}

#[test]
fn commands_are_recognized() {
    for (command, endless) in [
        ("ssekit serve --dev   # a hub", Some(Endless::Hub)),
        ("ssekit serve --config file --check", None),
        ("ssekit   # the demo", Some(Endless::Hub)),
        ("curl -gN 'http://127.0.0.1/?topic=a'", Some(Endless::Curl)),
        ("curl http://127.0.0.1/ # -N", None),
        ("ssekit listen 127.0.0.1 -t a -n 1", None),
        ("ssekit listen 127.0.0.1 -t a", Some(Endless::Listen)),
        ("echo ssekit serve", None),
    ] {
        assert_eq!(Endless::of(command), endless, "{command}");
    }
    assert_eq!(commands("a \\\n  b\nc\n"), ["a    b", "c"]);
    assert_eq!(of_program("cargo run --release -- serve --dev"), "ssekit serve --dev");
    assert_eq!(of_program("cargo run --release    # the demo"), "ssekit    # the demo");
    for command in [
        "xtask test  # everything",
        "add ssekit --no-default-features --features axum,gzip",
        "add tokio --features full",
        "install ssekit-cli",
        "run -p ssekit-hub --example embedded_hub",
        "test -p ssekit-cli --test baddays hostile",
    ] {
        assert_eq!(check_cargo(command), Ok(()), "{command}");
    }
    let unknown =
        ["xtask tests", "add ssekit --features axun", "install ssekit-x", "run --example x", "clean"];
    for command in unknown {
        assert!(check_cargo(command).is_err(), "{command}");
    }
}

/// A hub, a stream beside it, and variables of an earlier block.
#[test]
fn a_page_is_run_in_its_order() {
    let text = "# Page\n\n```sh\nNAME=value\nssekit serve --dev\n```\n\n```sh\n\
                ssekit publish 127.0.0.1:3000 -t news \"$NAME\"\nssekit listen 127.0.0.1:3000 -t news\n\
                curl -d topic=news -d data=x http://127.0.0.1:3000/.well-known/mercure\n```\n";
    let page = Page { path: "page.md".to_owned(), text: text.to_owned() };
    run_blocks(&page.blocks());
}
