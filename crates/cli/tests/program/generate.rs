//! `ssekit completions` and `ssekit man`.

use std::collections::BTreeSet;
use std::process::Command;

use crate::config::Folder;
use crate::program::{run, ssekit};

fn stdout(arguments: &[&str]) -> String {
    let output = run(ssekit().args(arguments));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commands and the long flags in a help text.
fn names(help: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let commands = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let commands = commands.lines().take_while(|line| line.starts_with("  "));
    let commands = commands.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    let flags = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let flag = line.starts_with('-').then(|| line.split(' ').find(|word| word.starts_with("--")))??;
        Some(flag.split(['=', '[', '.', ',']).next()?.to_owned())
    });
    (commands, flags.collect())
}

#[test]
fn bash_completes_commands_and_flags_by_the_script() {
    let folder = Folder::new("completions");
    let script = folder.file("ssekit.bash", &stdout(&["completions", "bash"]));
    let complete = |words: &[&str]| {
        let line = words.join(" ");
        let shell = format!(
            "source {script} && COMP_WORDS=({line}) && COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) && \
             _ssekit ssekit \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\" && \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = run(Command::new("bash").args(["-c", &shell]));
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(complete(&["ssekit", "hea"]), "health\n");
    assert_eq!(complete(&["ssekit", "serve", "--limits-body-s"]), "--limits-body-size\n");
    assert_eq!(complete(&["ssekit", "completions", "zs"]), "zsh\n");
}

#[test]
fn each_shell_gets_a_script_that_names_every_command() {
    let (commands, _) = names(&stdout(&["--help"]));
    assert!(commands.contains("serve") && commands.contains("completions"), "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
        assert!(script.contains("limits-body-size"), "{shell}");
    }
}

#[test]
fn each_command_has_a_man_page_with_its_flags() {
    let folder = Folder::new("man");
    let path = folder.path("man/man1");
    let output = run(ssekit().args(["man", &path]));
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let page = |name: &str| {
        let file = format!("{path}/{name}.1");
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    assert!(page("ssekit").contains("ssekit\\-serve(1)"), "the first page names the others");
    let (commands, _) = names(&stdout(&["--help"]));
    for command in commands.iter().filter(|command| *command != "help") {
        let text = page(&format!("ssekit-{command}"));
        assert!(text.contains(".TH"), "{command}: {text}");
        let (_, flags) = names(&stdout(&[command, "--help"]));
        for flag in flags {
            let flag = flag.replace('-', "\\-");
            assert!(text.contains(&flag), "{command}: {flag} is not in\n{text}");
        }
    }
    assert!(page("ssekit-token-make").contains(".TH"));
    // A second run replaces them.
    assert!(run(ssekit().args(["man", &path])).status.success());
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let folder = Folder::new("man-file");
    let file = folder.file("file", "");
    let output = run(ssekit().args(["man", &format!("{file}/man1")]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains(&format!("cannot create the folder {file}/man1: ")), "{errors}");
}
