//! Documents and their fenced blocks. Every block has a language that a test of this suite handles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A document.
pub(crate) struct Page {
    /// Path from the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block of a document.
#[derive(Debug)]
pub(crate) struct Block {
    /// The document, and the line of the fence.
    pub(crate) place: String,
    pub(crate) language: String,
    /// The word `no_run` follows the language: a test checks the block in another way than by running it.
    pub(crate) no_run: bool,
    pub(crate) text: String,
}

/// The blocks that no test runs: the document, their number, and the reason.
const NOT_RUN: [(&str, usize, &str); 3] = [
    ("RELEASING.md", 1, "it pushes a tag"),
    ("docs/deployment.md", 8, "root, systemd, certificates, a container engine and a cluster"),
    ("docs/recipes.md", 1, "a language model; the doctest compiles the program"),
];

/// The languages of blocks, each with the test that handles it.
const LANGUAGES: [(&str, &str); 9] = [
    ("html", "interop, cross_origin.rs: opens the pages of docs/page.md"),
    ("json", "programs.rs: parses it"),
    ("php", "commands.rs: runs it"),
    ("python", "commands.rs: runs it"),
    ("ruby", "commands.rs: runs it"),
    ("rust", "programs.rs: it is a doctest, or an excerpt of an example"),
    ("sh", "commands.rs: runs it"),
    ("svelte", "programs.rs: it is an excerpt of web/README.md, whose samples web/test/package runs"),
    ("toml", "settings.rs: `ssekit serve --check` accepts it"),
];

/// The language of figures and formats, which nothing can run.
const FIGURE: &str = "text";

#[test]
fn every_block_has_a_test() {
    let mut not_run = BTreeMap::new();
    for page in pages() {
        for block in page.blocks() {
            let Block { place, language, no_run, .. } = &block;
            let is_known = language == FIGURE || LANGUAGES.iter().any(|(known, _)| known == language);
            assert!(is_known, "{place}: no test handles blocks of the language {language:?}");
            assert!(language != "html" || page.path == "docs/page.md", "{place}: no test opens this page");
            if *no_run {
                *not_run.entry(page.path.clone()).or_insert(0) += 1;
            }
        }
    }
    let listed = NOT_RUN.iter().map(|(path, count, _)| ((*path).to_owned(), *count));
    assert_eq!(not_run, listed.collect::<BTreeMap<_, _>>(), "the blocks with `no_run`, and the list of them");
}

/// The documents of this suite.
///
/// `web/README.md` has a suite of its own (`web/test/package`), and programs write the tables of `bench`.
pub(crate) fn pages() -> Vec<Page> {
    let documents = files("docs", "md");
    let crates = folders("crates").into_iter().map(|path| format!("{path}/README.md"));
    let pages: Vec<Page> = files("", "md").into_iter().chain(documents).chain(crates).map(page).collect();
    assert!(pages.len() > 30, "only {} documents were found", pages.len());
    pages
}

pub(crate) fn page(path: impl Into<String>) -> Page {
    let path = path.into();
    Page { text: read(&path), path }
}

/// Text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Paths of the files with this extension in a folder of the repository, without those in folders below it.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<String> {
    let of_extension = |path: &Path| path.extension().is_some_and(|found| found == extension);
    list(folder, |path| path.is_file() && of_extension(path))
}

/// Paths of the folders in a folder of the repository.
pub(crate) fn folders(folder: &str) -> Vec<String> {
    list(folder, Path::is_dir)
}

fn list(folder: &str, is_wanted: impl Fn(&Path) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let root = root();
    let relative = |path: PathBuf| {
        path.strip_prefix(&root).ok().and_then(Path::to_str).expect("a path of the repository").to_owned()
    };
    let mut paths: Vec<String> = paths.filter(|path| is_wanted(path)).map(relative).collect();
    paths.sort_unstable();
    paths
}

/// Root folder of the repository.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

impl Page {
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.split().0
    }

    /// The lines outside of blocks.
    pub(crate) fn prose(&self) -> Vec<&str> {
        self.split().1
    }

    fn split(&self) -> (Vec<Block>, Vec<&str>) {
        let (mut blocks, mut prose) = (Vec::new(), Vec::new());
        let mut open: Option<(Block, usize)> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            let inner = line.trim_start();
            match (&mut open, inner.strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some((self.block(number, info), line.len() - inner.len()));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), None) => {
                    block.text.push_str(line.get(*indent..).unwrap_or(inner));
                    block.text.push('\n');
                }
                (None, None) => prose.push(line),
            }
        }
        assert!(open.is_none(), "{}: the last block has no end", self.path);
        (blocks, prose)
    }

    fn block(&self, line: usize, info: &str) -> Block {
        let place = format!("{}:{line}", self.path);
        let words: Vec<&str> = info.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let (language, no_run) = match words[..] {
            [language] => (language, false),
            [language, "no_run"] => (language, true),
            _ => panic!("{place}: a block has a language, perhaps with `no_run`, not {info:?}"),
        };
        Block { place, language: language.to_owned(), no_run, text: String::new() }
    }
}
