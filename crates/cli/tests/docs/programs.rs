//! Programs in documents are doctests or excerpts of tested files, and JSON is valid.

use crate::blocks::{files, pages, read};

/// The file whose doctests are the programs of documents.
const DOCTESTS: &str = "crates/ssekit/src/lib.rs";

#[test]
fn every_program_is_a_doctest_or_an_excerpt_of_a_tested_file() {
    let doctests = read(DOCTESTS);
    let examples = ["examples", "examples/frameworks", "examples/hub"];
    let examples: Vec<String> = examples.iter().flat_map(|folder| files(folder, "rs")).collect();
    let samples = ["web/README.md".to_owned()];
    let mut checked = 0;
    for page in pages() {
        let is_doctest = doctests.contains(&format!("include_str!(\"../../../{}\")", page.path));
        for block in page.blocks() {
            let sources = match &*block.language {
                "rust" if is_doctest => &[][..],
                "rust" => &examples[..],
                "svelte" => &samples[..],
                _ => continue,
            };
            let is_excerpt = sources.iter().any(|path| is_excerpt(&block.text, &read(path)));
            assert!(
                is_excerpt || sources.is_empty(),
                "{}: this program is no excerpt of an example, and the document is not in {DOCTESTS}",
                block.place
            );
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} programs were found");
}

#[test]
fn every_json_is_valid() {
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.language == "json") {
            let read: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
            assert!(read.is_ok(), "{}: {read:?}", block.place);
        }
    }
}

/// Whether the lines of a text are lines of a file, in the same order.
fn is_excerpt(text: &str, file: &str) -> bool {
    let mut lines = file.lines().map(str::trim);
    let mut wanted = text.lines().map(str::trim).filter(|line| !line.is_empty());
    wanted.all(|wanted| lines.any(|line| line == wanted))
}

#[test]
fn an_excerpt_keeps_the_order() {
    assert!(is_excerpt("b\n\n  d\n", "a\nb\nc\nd\n"));
    assert!(!is_excerpt("d\nb\n", "a\nb\nc\nd\n"));
    assert!(!is_excerpt("x\n", "a\n"));
}
