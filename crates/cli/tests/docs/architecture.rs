//! ARCHITECTURE.md: its functions exist where it says, and crates depend on each other as it says.

use std::collections::BTreeSet;
use std::path::Path;

use crate::blocks::{folders, page, read, root};

#[test]
fn the_functions_to_read_first_exist() {
    let page = page("ARCHITECTURE.md");
    let rows = rows(&page.text, "## Functions to read first");
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let [functions, folder, _] = &row[..] else { panic!("three cells: {row:?}") };
        let sources = sources(&root().join(folder.trim_matches('`')));
        assert!(!sources.is_empty(), "{folder} has no sources");
        for name in functions.split('`').skip(1).step_by(2) {
            assert!(is_defined(name, &sources), "{folder} does not define {name}");
        }
    }
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let page = page("ARCHITECTURE.md");
    let rows = rows(&page.text, "## Dependencies between crates");
    let documented: BTreeSet<(String, BTreeSet<String>)> = rows
        .iter()
        .map(|row| {
            let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let [name, of]: [BTreeSet<String>; 2] = [names(row[0]), names(row[1])];
            (name.into_iter().next().expect("a crate"), of)
        })
        .collect();
    let of_manifests = folders("crates").into_iter().map(|folder| {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let ours = dependencies.lines().filter_map(|line| line.strip_prefix("ssekit-"));
        let ours = ours.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
        (folder.trim_start_matches("crates/").to_owned(), ours)
    });
    assert_eq!(documented, of_manifests.collect::<BTreeSet<_>>());
}

/// The rows of the first table below a heading, without its head.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let is_row = |line: &&str| line.starts_with('|');
    let table = rest.lines().skip_while(|line| !is_row(line)).take_while(is_row);
    table.skip(2).map(|row| row.trim_matches(['|', ' ']).split(" | ").collect()).collect()
}

/// Texts of the Rust and TypeScript files in a file or folder.
fn sources(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![std::fs::read_to_string(path).expect("a text")];
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let is_source = |path: &Path| {
        path.is_dir() || path.extension().is_some_and(|found| ["rs", "ts"].iter().any(|kind| found == *kind))
    };
    paths.filter(|path| is_source(path)).flat_map(|path| sources(&path)).collect()
}

/// Whether some source defines a function `name` or `Type::name`, or a type `Name`.
fn is_defined(name: &str, sources: &[String]) -> bool {
    let has = |text: &str| sources.iter().any(|source| source.contains(text));
    let words = ["struct", "enum", "trait", "class"];
    let is_type = |name: &str| words.iter().any(|word| has(&format!("{word} {name}")));
    let is_function = |name: &str| has(&format!("fn {name}(")) || has(&format!("fn {name}<"));
    match name.rsplit_once("::") {
        Some((of, function)) => is_function(function) && (is_type(of) || has(&format!("mod {of}"))),
        None if name.starts_with(char::is_uppercase) => is_type(name),
        None => is_function(name),
    }
}
