//! Every configuration in a document is valid, and the table of settings has all of them.

use crate::blocks::{page, pages};
use crate::hub::KEY;
use crate::program::{run, ssekit};
use crate::workspace::Workspace;

#[test]
fn every_configuration_is_valid() {
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "toml") {
            let workspace = Workspace::new();
            let text = workspace.adapt(&block.text);
            let file = workspace.write("block.toml", &text);
            let mut check = ssekit();
            check.args(["serve", "--check", "--config"]).arg(file).env("SSEKIT_ADDR", "127.0.0.1:0");
            check.current_dir(&workspace.folder);
            if !["key", "jwks"].iter().any(|key| text.contains(key)) {
                check.env("SSEKIT_KEY", KEY);
            }
            let output = run(&mut check);
            assert!(output.status.success(), "{}: {output:?}", block.place);
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} configurations were found");
}

/// A row of the table: its heading, the name of the setting, and the default.
type Row = (String, String, String);

#[test]
fn the_table_has_every_setting_with_its_default() {
    let printed = run(ssekit().args(["serve", "--print"]));
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert_eq!(documented(), of_program(&printed), "{printed}");
}

/// The settings that `--print` shows, by their headings.
fn of_program(printed: &str) -> Vec<Row> {
    let mut heading = "";
    let mut rows = Vec::new();
    for line in printed.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            heading = title;
        } else if let Some((key, rest)) = line.split_once(" = ") {
            let (value, _) = rest.rsplit_once(" # ").expect("each value has a source");
            let value = match value.trim_end() {
                "[]" | "\"none\"" => "–".to_owned(),
                value => format!("`{value}`"),
            };
            rows.push((heading.to_owned(), key.to_owned(), value));
        }
    }
    assert!(rows.len() > 50, "{printed}");
    rows
}

/// The settings of the document.
fn documented() -> Vec<Row> {
    let mut heading = "";
    let mut rows = Vec::new();
    let page = page("docs/configuration.md");
    for line in page.prose() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        } else if let Some((key, rest)) = line.strip_prefix("| `").and_then(|row| row.split_once("` | ")) {
            let (default, _) = rest.split_once(" | ").expect("three cells");
            rows.push((heading.to_owned(), key.to_owned(), default.to_owned()));
        }
    }
    rows
}
