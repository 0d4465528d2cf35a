//! Links and paths in documents lead to files and headings, and the index has every document.

use crate::blocks::{Page, files, page, pages, root};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages().into_iter().chain([page("llms.txt")]) {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in page.prose().into_iter().flat_map(links) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { page.path.clone() } else { join(folder, file) };
            assert!(root().join(&file).exists(), "{}: {link}: {file} is not there", page.path);
            let target = || crate::blocks::page(file.as_str());
            let is_there = heading.is_empty() || has_heading(&target(), heading);
            assert!(is_there, "{}: {link}: there is no such heading", page.path);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} links were found");
}

#[test]
fn examples_that_are_named_exist() {
    for page in pages() {
        let is_end = |character: char| character.is_whitespace() || "`\"()".contains(character);
        let words = page.text.split(is_end);
        let words = words.map(|word| word.trim_end_matches(['.', ',', ':', ';']));
        for word in words.filter(|word| word.starts_with("examples/")) {
            assert!(root().join(word).exists(), "{}: {word} is not there", page.path);
        }
    }
}

#[test]
fn the_indexes_have_every_document() {
    let (index, for_models) = (page("docs/README.md"), page("llms.txt"));
    for path in files("docs", "md").into_iter().filter(|path| *path != index.path) {
        let name = path.trim_start_matches("docs/");
        assert!(index.text.contains(&format!("]({name})")), "docs/README.md does not have {name}");
        assert!(for_models.text.contains(&format!("]({path})")), "llms.txt does not have {path}");
    }
}

/// The targets of the links in a line that lie in the repository.
fn links(line: &str) -> Vec<&str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

/// A path relative to a folder, as one from the root.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a document has a heading with this anchor, as GitHub makes anchors.
fn has_heading(page: &Page, anchor: &str) -> bool {
    page.prose().into_iter().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor)
}

fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(slug("## Pages of other origins"), "pages-of-other-origins");
    assert_eq!(slug("### `Clients`, and a user's tabs"), "clients-and-a-users-tabs");
}
