//! Flags, settings and variables that documents name exist, also those of commands that no test runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::{Page, pages};
use crate::program::{run, ssekit};

/// The commands of the program.
const COMMANDS: [&str; 9] =
    ["serve", "listen", "publish", "bench", "health", "token make", "token explain", "completions", "man"];

#[test]
fn every_flag_of_the_program_exists() {
    let mut help: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut checked = 0;
    for page in pages() {
        for code in code_of(&page) {
            for (command, flags) in flags(&code) {
                let known = help.entry(command).or_insert_with(|| known_flags(command));
                for flag in flags {
                    assert!(known.contains(&flag), "{}: {code:?}: {command} has no {flag}", page.path);
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} flags were found");
}

#[test]
fn every_setting_and_variable_exists() {
    let printed = run(ssekit().args(["serve", "--print"]));
    let printed = String::from_utf8(printed.stdout).expect("text");
    let settings: BTreeSet<&str> =
        printed.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    let variable = |key: &&str| format!("SSEKIT_{}", key.replace('.', "_").to_uppercase());
    let mut variables: BTreeSet<String> = settings.iter().map(variable).collect();
    variables.extend(["SSEKIT_CONFIG", "SSEKIT_TOKEN"].map(str::to_owned));
    let mut checked = 0;
    let is_part = |character: char| character.is_ascii_alphanumeric() || "._".contains(character);
    // The changelog has former names, and CONTRIBUTING.md variables of tests.
    for page in pages().into_iter().filter(|page| page.path.starts_with("docs/") || page.path == "README.md")
    {
        for code in code_of(&page) {
            for word in code.split(|character: char| !is_part(character)) {
                let is_setting = ["limits.", "publisher.", "subscriber.", "tls."]
                    .iter()
                    .any(|group| word.strip_prefix(group).is_some_and(|name| !name.is_empty()));
                let is_variable = word.len() > 7 && word.starts_with("SSEKIT_");
                let exists = settings.contains(word) || variables.contains(word);
                assert!(
                    exists || !(is_setting || is_variable),
                    "{}: {code:?}: there is no {word}",
                    page.path
                );
                checked += usize::from(exists);
            }
        }
    }
    assert!(checked > 80, "only {checked} settings and variables were found");
}

/// Code of a document: spans between backticks, and lines of the blocks for a shell.
fn code_of(page: &Page) -> Vec<String> {
    let prose = page.prose().join("\n");
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
    let blocks = page.blocks();
    let lines = blocks
        .iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.text.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    spans.chain(lines).collect()
}

/// The commands of the program in a line, each with its flags.
fn flags(line: &str) -> Vec<(&'static str, Vec<String>)> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("ssekit ").skip(1).filter_map(|part| {
        let part = part.split(['|', ')', ';', '`']).next().unwrap_or_default();
        let command = COMMANDS.into_iter().find(|command| part.starts_with(command))?;
        let words = part.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
        Some((command, words.map(name).collect()))
    });
    parts.collect()
}

fn known_flags(command: &str) -> BTreeSet<String> {
    let help = run(ssekit().args(command.split(' ')).arg("--help"));
    let help = String::from_utf8(help.stdout).expect("text");
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let words = help.split(|character: char| !is_part(character));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn flags_are_found_in_commands() {
    let found = flags("TOKEN=$(ssekit token make --key-file key --publish '*') # --no-flag");
    assert_eq!(found, [("token make", vec!["--key-file".to_owned(), "--publish".to_owned()])]);
    assert_eq!(flags("ssekit serve --store=memory | cat --x"), [("serve", vec!["--store".to_owned()])]);
    assert!(flags("an own ssekit --x").is_empty());
}
