//! Counts the lines that break a writing rule of CONTRIBUTING.md; each rule has a maximum that may only fall.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result, bail};

use crate::command::{Command, root};

/// The recorded maxima: a number and a rule in each line.
const MAXIMA: &str = "xtask/prose.txt";
/// The first line of that file.
const HEAD: &str = "# The most findings of each rule. They may only fall; `cargo xtask prose` lowers them.\n";

/// The widest line, in characters.
const COLUMNS: usize = 110;

/// A folder that a build makes, so that git does not track it.
const BUILT: &str = "web/dist/";

/// Fails if a rule has more findings than recorded.
pub(crate) fn check() -> Result<()> {
    let findings = findings()?;
    let faults = exceeded(&count(&findings), &maxima()?);
    if !faults.is_empty() {
        bail!("{}; `cargo xtask prose` lists all of them", faults.join("; "));
    }
    Ok(())
}

/// Lists all findings, and lowers the recorded maxima to their number.
pub(crate) fn list() -> Result<()> {
    let findings = findings()?;
    let counts = count(&findings);
    let recorded = if root().join(MAXIMA).exists() { maxima()? } else { BTreeMap::new() };
    let lowered = Rule::ALL.map(|rule| {
        let count = counts.get(&rule).copied().unwrap_or(0);
        format!("{} {rule}\n", recorded.get(&rule).map_or(count, |most| count.min(*most)))
    });
    fs::write(root().join(MAXIMA), HEAD.to_owned() + &lowered.concat())
        .with_context(|| format!("cannot write {MAXIMA}"))?;
    let line = |Finding { path, line, rule }: &Finding| format!("{path}:{line}: {rule}\n");
    // A closed pipe, as of `head`, only ends the list.
    let _ = io::stdout().write_all(findings.iter().map(line).collect::<String>().as_bytes());
    Ok(())
}

/// A rule that findings break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    WhoInComment,
    WhatInComment,
    Summary,
    LongSourceLine,
    WhoInMarkdown,
    WhatInMarkdown,
    LongMarkdownLine,
    MissingPath,
}

impl Rule {
    const ALL: [Self; 8] = [
        Self::WhoInComment,
        Self::WhatInComment,
        Self::Summary,
        Self::LongSourceLine,
        Self::WhoInMarkdown,
        Self::WhatInMarkdown,
        Self::LongMarkdownLine,
        Self::MissingPath,
    ];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WhoInComment => "“who” in comments",
            Self::WhatInComment => "“what” in comments",
            Self::Summary => "doc summaries that begin with “Who” or “What”",
            Self::LongSourceLine => "source lines over 110 columns",
            Self::WhoInMarkdown => "“who” in Markdown",
            Self::WhatInMarkdown => "“what” in Markdown",
            Self::LongMarkdownLine => "Markdown lines over 110 columns",
            Self::MissingPath => "paths in Markdown that do not exist",
        })
    }
}

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    rule: Rule,
}

/// The findings in all files that git tracks.
fn findings() -> Result<Vec<Finding>> {
    let tracked = Command::new("git -c safe.directory=* ls-files").output()?;
    let paths = with_folders(tracked.lines());
    let mut findings = Vec::new();
    for path in tracked.lines() {
        let find = match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("rs" | "ts") => in_source,
            Some("md") => in_markdown,
            _ => continue,
        };
        // A file may be deleted and not committed yet.
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        let of_file = find(path, &text, &paths).into_iter();
        findings.extend(of_file.map(|(line, rule)| Finding { path: path.to_owned(), line, rule }));
    }
    Ok(findings)
}

fn count(findings: &[Finding]) -> BTreeMap<Rule, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.rule).or_insert(0) += 1;
    }
    counts
}

/// The rules with more findings than their maximum, in words.
fn exceeded(counts: &BTreeMap<Rule, usize>, maxima: &BTreeMap<Rule, usize>) -> Vec<String> {
    let most = |rule: &Rule| maxima.get(rule).copied().unwrap_or(0);
    let above = counts.iter().filter(|(rule, count)| **count > most(rule));
    above.map(|(rule, count)| format!("{rule}: {count}, at most {} are allowed", most(rule))).collect()
}

fn maxima() -> Result<BTreeMap<Rule, usize>> {
    let text = fs::read_to_string(root().join(MAXIMA)).with_context(|| format!("cannot read {MAXIMA}"))?;
    parse(&text)
}

fn parse(text: &str) -> Result<BTreeMap<Rule, usize>> {
    let mut maxima = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let entry = line.split_once(' ').and_then(|(number, name)| {
            let rule = Rule::ALL.into_iter().find(|rule| rule.to_string() == name)?;
            Some((rule, number.parse().ok()?))
        });
        let (rule, number) = entry.with_context(|| format!("{MAXIMA} has the line {line:?}"))?;
        maxima.insert(rule, number);
    }
    Ok(maxima)
}

/// These paths, and the folders that they lie in.
fn with_folders<'a>(files: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    files
        .flat_map(|file| {
            std::iter::successors(Some(file), |path| path.rsplit_once('/').map(|(folder, _)| folder))
        })
        .collect()
}

/// The lines of Rust or TypeScript that break a rule.
fn in_source(_: &str, text: &str, _: &BTreeSet<&str>) -> Vec<(usize, Rule)> {
    let mut findings = Vec::new();
    let (mut in_block, mut in_docs) = (false, false);
    for (number, line) in (1..).zip(text.lines()) {
        // Nothing can break a row of a table.
        let is_row = line.trim_start().trim_start_matches(['/', '!']).starts_with(" |");
        if line.chars().count() > COLUMNS && !is_row {
            findings.push((number, Rule::LongSourceLine));
        }
        let comment = comment(line, &mut in_block);
        add_words(comment, number, [Rule::WhoInComment, Rule::WhatInComment], &mut findings);
        let begins = ["///", "//!", "/**"].iter().any(|mark| line.trim_start().starts_with(mark));
        let summary = comment.trim_start_matches(['/', '!', '*', ' ']);
        if begins && !in_docs && ["Who ", "What "].iter().any(|word| summary.starts_with(word)) {
            findings.push((number, Rule::Summary));
        }
        in_docs = begins;
    }
    findings
}

/// The comment in a line; empty if it has none.
fn comment<'a>(line: &'a str, in_block: &mut bool) -> &'a str {
    let start = line.trim_start();
    if *in_block || start.starts_with("/*") {
        *in_block = !start.contains("*/");
        return start;
    }
    if start.starts_with("//") {
        return start;
    }
    // Between quotes it is no comment.
    let behind_code =
        line.match_indices(" // ").find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    behind_code.map_or("", |(at, _)| &line[at + 1..])
}

/// The lines of Markdown that break a rule: words and width outside of code, and paths.
fn in_markdown(path: &str, text: &str, paths: &BTreeSet<&str>) -> Vec<(usize, Rule)> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        // Markdown cannot break a row of a table.
        if line.chars().count() > COLUMNS && !line.starts_with('|') {
            findings.push((number, Rule::LongMarkdownLine));
        }
        let (mut words, mut code) = (String::new(), Vec::new());
        for (index, part) in line.split('`').enumerate() {
            if index.is_multiple_of(2) { words.push_str(part) } else { code.push(part) }
        }
        add_words(&words, number, [Rule::WhoInMarkdown, Rule::WhatInMarkdown], &mut findings);
        let links = targets(line).filter(|target| !exists(&join(folder, target), paths));
        let named = code.into_iter().filter(|code| is_path(code, paths) && !exists(code, paths));
        findings.extend(links.chain(named).map(|_| (number, Rule::MissingPath)));
    }
    findings
}

/// Adds a finding for each counted word of a line.
fn add_words(line: &str, number: usize, [who, what]: [Rule; 2], findings: &mut Vec<(usize, Rule)>) {
    for word in line.split(|character: char| !character.is_alphanumeric() && character != '_') {
        if word.eq_ignore_ascii_case("who") {
            findings.push((number, who));
        } else if word.eq_ignore_ascii_case("what") {
            findings.push((number, what));
        }
    }
}

/// The targets of a line's links that lie in the repository.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', '#', ' ']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// A path relative to a folder, as one from the root.
fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a text in backticks names something in a folder at the root.
fn is_path(code: &str, paths: &BTreeSet<&str>) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./*".contains(&byte);
    let folder = code.split_once('/').map(|(folder, _)| folder);
    code.bytes().all(is_plain) && folder.is_some_and(|folder| paths.contains(folder))
}

/// Whether a path exists; of one with `*`, the part before it.
fn exists(path: &str, paths: &BTreeSet<&str>) -> bool {
    let fixed = path
        .split_once('*')
        .map_or(path, |(before, _)| before.rsplit_once('/').map_or("", |(folder, _)| folder));
    fixed.is_empty() || path.starts_with(BUILT) || paths.contains(fixed.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Find = fn(&str, &str, &BTreeSet<&str>) -> Vec<(usize, Rule)>;

    fn rules(find: Find, text: &str) -> Vec<(usize, Rule)> {
        let paths = with_folders(
            ["docs/page.md", "crates/wire/src/scan.rs", "README.md", "web/build.mjs"].into_iter(),
        );
        find("docs/page.md", text, &paths)
    }

    #[test]
    fn words_count_in_comments_and_not_in_code() {
        let text = "let who = what; // who asks\nf(\"a // what\");\n/* What it is,\n   and who */\nwhat();\n";
        assert_eq!(
            rules(in_source, text),
            [(1, Rule::WhoInComment), (3, Rule::WhatInComment), (4, Rule::WhoInComment)]
        );
        assert!(rules(in_source, "// whole, whatever, whose, who_is\n").is_empty());
    }

    #[test]
    fn only_the_first_line_of_a_doc_comment_is_its_summary() {
        let text = "/// Reads.\n/// What\n\n/// What it has.\nfn f() {}\n";
        assert_eq!(
            rules(in_source, text),
            [(2, Rule::WhatInComment), (4, Rule::WhatInComment), (4, Rule::Summary)]
        );
    }

    #[test]
    fn a_line_of_110_characters_is_not_too_long() {
        let [fits, long] = [110, 111].map(|columns| "é".repeat(columns));
        assert!(rules(in_source, &fits).is_empty());
        assert_eq!(rules(in_source, &long), [(1, Rule::LongSourceLine)]);
        assert!(rules(in_source, &format!("/// | {long} |")).is_empty(), "a row of a table cannot be broken");
        assert_eq!(rules(in_markdown, &long), [(1, Rule::LongMarkdownLine)]);
        assert!(rules(in_markdown, &format!("| {long} |")).is_empty(), "a row of a table cannot be broken");
        assert!(rules(in_markdown, &format!("```\n{long} who\n```\n")).is_empty(), "code");
    }

    #[test]
    fn words_in_markdown_count_outside_of_code() {
        assert_eq!(rules(in_markdown, "Who reads `what`?"), [(1, Rule::WhoInMarkdown)]);
    }

    #[test]
    fn paths_of_links_and_in_backticks_exist() {
        for exists in [
            "[a](page.md#part)",
            "[a](../README.md) and [b](../crates/wire/)",
            "[a](https://example.com/page.md) [b](#part)",
            "`crates/wire/src/scan.rs`, `crates/wire/src/*.rs`, `docs/`",
            "`src/main.rs`, `text/event-stream`, `crates/{a,b}`",
            "`web/dist/ssekit.js`",
        ] {
            assert!(rules(in_markdown, exists).is_empty(), "{exists}");
        }
        for missing in ["[a](README.md)", "`crates/wire/src/block.rs`", "`crates/session/*.rs`"] {
            assert_eq!(rules(in_markdown, missing), [(1, Rule::MissingPath)], "{missing}");
        }
    }

    #[test]
    fn a_count_may_fall_and_not_rise() {
        let maxima = parse("# a comment\n2 “who” in comments\n").unwrap();
        let of = |count| exceeded(&BTreeMap::from([(Rule::WhoInComment, count)]), &maxima);
        assert!(of(1).is_empty() && of(2).is_empty());
        assert_eq!(of(3), ["“who” in comments: 3, at most 2 are allowed"]);
        let unrecorded = BTreeMap::from([(Rule::MissingPath, 1)]);
        assert_eq!(exceeded(&unrecorded, &maxima).len(), 1, "without a maximum none is allowed");
        assert!(parse("many “who” in comments").is_err());
    }
}
