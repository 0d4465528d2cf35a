//! The protocol, line by line: each requirement and the place of its test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use Status::{Elsewhere, Later, Partly, Tested, TheirOwn};

/// Place of the test for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// By tests whose names begin with `line_` and the number.
    Tested,
    /// By such tests, except for this part.
    Partly(&'static str),
    /// By the hub as a whole: sockets, log, configuration. Those tests have such names as well.
    Elsewhere(&'static str),
    /// With version 1.0 of the protocol and its tokens.
    Later(&'static str),
    /// A duty of publishers, subscribers, issuers of tokens or operators.
    TheirOwn(&'static str),
}

/// The lines of version 1.0 of the protocol.
///
/// Those that do not depend on its tokens apply to versions 0.x too.
const LINES: &[(u16, &str, Status)] = &[
    (1, "a topic has no controls and no format characters", Tested),
    (2, "private updates reach only who is authorised", Tested),
    (3, "subscriptions are GET", Elsewhere("http")),
    (4, "QUERY: the body's pairs join those of the query", Later("QUERY is optional")),
    (5, "QUERY: a cursor in the query wins", Later("QUERY is optional")),
    (6, "HTTP/2", Elsewhere("http")),
    (7, "matcher names in canonical form", TheirOwn("subscribers")),
    (8, "the query is parsed as a WHATWG form", Tested),
    (9, "values are percent-encoded", TheirOwn("subscribers")),
    (10, "unknown match parameters are refused", Tested),
    (11, "selectors with bad characters are refused", Tested),
    (12, "one selector that matches is enough", Tested),
    (13, "number and length of selectors are bounded", Tested),
    (14, "one subscription for each selector", Tested),
    (15, "connections are bounded", Elsewhere("fan-out")),
    (16, "CORS", Tested),
    (17, "credentials never with every origin", Tested),
    (18, "no private update to the unauthorised", Tested),
    (19, "a valid event stream", Elsewhere("fan-out")),
    (20, "a comment when idle", Elsewhere("fan-out")),
    (21, "proxies do not buffer", TheirOwn("operators")),
    (22, "data is the new version", TheirOwn("publishers")),
    (23, "all fields of an event", Tested),
    (24, "payloads name their resource", TheirOwn("publishers")),
    (
        25,
        "exact selectors and URL patterns",
        Partly("URL patterns come with 1.0; URI templates are in their place"),
    ),
    (26, "matcher types are advertised", Later("protected resource metadata")),
    (27, "an unsupported type refuses the request", Tested),
    (28, "the star selects everything", Tested),
    (29, "exact selectors compare bytes", Tested),
    (30, "topics are normalised beforehand", TheirOwn("publishers and subscribers")),
    (31, "relative patterns resolve against the hub", Later("URL patterns")),
    (32, "patterns never ignore case", Later("URL patterns")),
    (33, "a topic that is no URL matches no pattern", Later("URL patterns")),
    (34, "matching takes linear time", Tested),
    (35, "topics are not dereferenced blindly", TheirOwn("subscribers")),
    (36, "publications are forms with a topic", Tested),
    (37, "the first topic is canonical", Tested),
    (38, "every topic is checked", Tested),
    (39, "the hub's namespace is reserved", Tested),
    (40, "the star is no topic", Tested),
    (41, "data is split into lines", Tested),
    (42, "exact bytes travel in base64", TheirOwn("publishers")),
    (43, "private by presence", Tested),
    (44, "rules for ids", Tested),
    (45, "ids are unique", TheirOwn("publishers")),
    (46, "rules for types", Tested),
    (47, "reconnection times are digits", Tested),
    (
        48,
        "unknown fields are ignored",
        Partly("they are refused: a misspelt `private` would make an update public"),
    ),
    (49, "success is 200 and the id as text", Elsewhere("http")),
    (50, "publishers are authorised", Tested),
    (51, "what is too large is 413", Tested),
    (52, "the anonymous read what is public, where they may", Tested),
    (53, "tokens are RFC 9068", Later("tokens of 1.0")),
    (54, "tokens are short-lived", TheirOwn("issuers")),
    (55, "issuers have stable names", Later("tokens of 1.0")),
    (56, "keys for publishers and for subscribers", Tested),
    (57, "a hub that anyone may publish to is not reachable", Elsewhere("configuration")),
    (58, "no token in the URL", Partly("today's clients need it: the operator turns it off")),
    (59, "TLS", Elsewhere("http")),
    (60, "the header counts and not the cookie", Tested),
    (61, "the scheme is case-insensitive", Tested),
    (62, "the cookie's name", Partly("it is configured; advertising it comes with the metadata of 1.0")),
    (63, "attributes of the cookie", TheirOwn("publishers, who set it")),
    (64, "a missing token is a bare 401", Tested),
    (65, "a bad token is 401 invalid_token", Tested),
    (66, "what is not granted is 403 insufficient_scope", Tested),
    (67, "a malformed presentation is 400 invalid_request", Tested),
    (68, "the type of a token is at+jwt", Later("tokens of 1.0")),
    (69, "algorithms are configured and fit the key", Tested),
    (70, "keys are configured, and their names are hints", Tested),
    (71, "keys belong to an issuer", Later("tokens of 1.0")),
    (72, "exp and nbf", Partly("tokens of today may have no exp")),
    (73, "the audience", Later("tokens of 1.0")),
    (74, "the issuer", Later("tokens of 1.0")),
    (75, "authorization details", Later("tokens of 1.0")),
    (76, "what a token lists is bounded", Tested),
    (77, "one bad entry refuses the token", Tested),
    (78, "subscriptions of a token are bounded", Later("optional")),
    (79, "every topic of a publication is granted", Tested),
    (80, "private delivery by one granted topic", Tested),
    (81, "streams close when the token ends", Elsewhere("fan-out")),
    (82, "streams have a longest life", Elsewhere("fan-out")),
    (83, "alternate topics are no broader than meant", TheirOwn("publishers")),
    (84, "the payload of the token", Partly("today's tokens have one; one for each detail comes with 1.0")),
    (85, "specific details first", TheirOwn("issuers")),
    (86, "every event has an id, a URI", Tested),
    (87, "the last id is sent on reconnecting", TheirOwn("subscribers")),
    (88, "the last id in the header or the query", Tested),
    (89, "everything after it is replayed", Elsewhere("fan-out")),
    (90, "replayed events are authorised anew", Elsewhere("fan-out")),
    (91, "earliest", Tested),
    (92, "a repeated id means its first event", Elsewhere("log")),
    (93, "the answer says after which event it begins", Tested),
    (94, "ids tell neither order nor time", Tested),
    (95, "loss is possible", TheirOwn("subscribers")),
    (96, "subscriptions are advertised", Later("protected resource metadata")),
    (97, "an event for each begin and end", Elsewhere("fan-out")),
    (98, "the topic of such an event", Tested),
    (99, "matcher types in canonical form", Later("matcher types")),
    (100, "subscribers have ids of their own", Tested),
    (101, "the document of a subscription", Tested),
    (
        102,
        "the event is private",
        Partly("today's clients expect events without a type; `mercure` comes with 1.0"),
    ),
    (103, "three paths", Tested),
    (104, "the path is what is granted", Tested),
    (105, "the type of the answer, and Link for pages", Tested),
    (106, "one subscription", Tested),
    (107, "several subscriptions", Tested),
    (108, "Link with the last id", Tested),
    (109, "answers are revalidated", Tested),
    (110, "the hub's path", Tested),
    (111, "publishers advertise their hubs", TheirOwn("publishers")),
    (112, "hubs are not trusted blindly", TheirOwn("subscribers")),
    (113, "attributes of the link", TheirOwn("publishers")),
    (114, "one self link", TheirOwn("publishers")),
    (115, "protected resource metadata", Later("tokens of 1.0")),
    (116, "without metadata it is a hub of 0.x", TheirOwn("subscribers")),
    (117, "encryption", TheirOwn("publishers")),
    (118, "keys are kept safe", TheirOwn("operators")),
    (119, "no forged publishing by cookie", Tested),
    (120, "no field is injected", Tested),
    (121, "the hub's namespace and type are its own", Tested),
    (122, "fetching keys reaches no private network", Tested),
    (123, "sender-constrained tokens", Later("optional")),
    (124, "repeated publications", TheirOwn("publishers")),
    (125, "registries", TheirOwn("IANA")),
    (126, "grants of the subscriptions' namespace", TheirOwn("issuers")),
    (127, "no secrets in topics", TheirOwn("publishers")),
];

#[test]
fn every_line_is_in_the_table_once() {
    assert_eq!(LINES.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), (1..=127).collect::<Vec<_>>());
}

#[test]
fn every_line_with_the_status_tested_has_a_test() {
    let mut tests = BTreeMap::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // The tests of the hub cover the lines that need sockets, a log or a configuration.
    for tested in ["mercure", "hub", "cli"] {
        read(&crates.join(tested).join("tests"), &mut tests);
    }
    let mut faults = Vec::new();
    for (number, what, status) in LINES {
        let tested = tests.remove(number);
        match (status, tested) {
            (Tested | Partly(_), None) => faults.push(format!("line {number} ({what}) has no test")),
            (Later(_) | TheirOwn(_), Some(test)) => {
                faults.push(format!("line {number} ({what}) is {status:?}, and {test} tests it"))
            }
            _ => {}
        }
    }
    faults.extend(tests.values().map(|test| format!("{test} is of no line")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Names of the tests below a folder, by the number of their line.
fn read(folder: &Path, tests: &mut BTreeMap<u16, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                let Some(name) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn line_") else {
                    continue;
                };
                // An attribute on the line before makes a function a test.
                let is_test = at > 0
                    && (lines[at - 1].ends_with("test]")
                        || lines[at - 1].contains("test(")
                        || in_proptest(&lines[..at]));
                let number = name.split('_').next().and_then(|number| number.parse().ok());
                let number = number.unwrap_or_else(|| panic!("{}: {line} names no line", path.display()));
                assert!(is_test, "{}: {line} is no test", path.display());
                tests.insert(number, format!("line_{}", name.split(['(', ' ']).next().unwrap_or_default()));
            }
        }
    }
}

/// In a `proptest!` block, doc comments may precede a function, and the attribute may be missing.
fn in_proptest(lines: &[&str]) -> bool {
    let open = lines.iter().rposition(|line| line.starts_with("proptest! {"));
    open.is_some_and(|open| !lines[open..].contains(&"}"))
}
