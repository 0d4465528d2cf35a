//! The reference of metrics and problems names all of them, and no others.

use std::collections::BTreeSet;
use std::process::Command;

use http::StatusCode;

use crate::blocks::{page, read};
use crate::hub::Hub;
use crate::program::run;

#[test]
fn the_tables_have_every_metric_with_its_type() {
    let hub = Hub::start(&["--subscriptions"]);
    // Refusals of a kind exist from the first one.
    let refused = ["-sS", "-H", "authorization: Bearer x", &format!("{}?topic=a", hub.url())];
    run(Command::new("curl").args(refused));
    let metrics = run(Command::new("curl").args(["-sS", &format!("http://{}/metrics", hub.addr)]));
    let metrics = String::from_utf8(metrics.stdout).expect("text");
    let of_program = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let of_program: BTreeSet<(&str, &str)> = of_program.collect();
    assert!(of_program.len() > 20, "{metrics}");

    let page = page("docs/metrics.md");
    let rows = page.prose().into_iter().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let (kind, _) = rest.split_once(" | ")?;
        ["counter", "gauge", "histogram"].contains(&kind).then_some((name, kind))
    });
    assert_eq!(rows.collect::<BTreeSet<_>>(), of_program);
}

#[test]
fn the_table_has_every_problem_with_its_status() {
    // In the source, a problem is `(S::BAD_REQUEST, "missing-topic", …)`.
    let source = read("crates/mercure/src/problem.rs");
    let of_program = source.split("(S::").skip(1).filter_map(|rest| {
        let (status, rest) = rest.split_once(',')?;
        Some((status.to_owned(), rest.split('"').nth(1)?.to_owned()))
    });
    let of_program: BTreeSet<(String, String)> = of_program.collect();
    assert!(of_program.len() > 20, "{of_program:?}");

    let page = page("docs/http-api.md");
    let mut documented = BTreeSet::new();
    for line in page.prose() {
        let Some((status, types)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        let Ok(status) = status.parse::<u16>() else { continue };
        let reason = StatusCode::from_u16(status).expect("a status").canonical_reason().expect("a known one");
        let name = reason.to_uppercase().replace(' ', "_");
        documented.extend(types.split('`').skip(1).step_by(2).map(|kind| (name.clone(), kind.to_owned())));
    }
    assert_eq!(documented, of_program);
}
