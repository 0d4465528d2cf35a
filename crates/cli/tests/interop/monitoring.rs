//! The dashboard, the alert rules and the documents name the metrics that the hub has.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::hub::{Hub, example, folder, read_example};
use crate::program::run;

/// The metrics of a hub in Prometheus' text format.
///
/// It has refused a token, because the metrics of refusals exist from the first refusal on.
fn metrics() -> String {
    let hub = Hub::start(&["--subscriptions"]);
    let refused = ["-sS", "-H", "authorization: Bearer x", &format!("{}?topic=a", hub.url())];
    run(Command::new("curl").args(refused));
    let answer = run(Command::new("curl").args(["-sS", &format!("http://{}/metrics", hub.addr)]));
    String::from_utf8(answer.stdout).expect("text")
}

/// The families of metrics, by the name that queries use.
fn families(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// Whether a family has a series of this name.
fn has_series(families: &BTreeSet<&str>, name: &str) -> bool {
    let parts = ["", "_bucket", "_count", "_sum"];
    parts.iter().any(|part| name.strip_suffix(part).is_some_and(|family| families.contains(family)))
}

/// The names of our metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character: char| !is_part(character));
    let is_name = |word: &&str| word.starts_with("ssekit_") && !word.contains(char::is_uppercase);
    words.filter(is_name).collect()
}

/// The queries of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read_example("grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

#[test]
fn every_metric_that_is_named_exists_and_every_metric_has_a_panel() {
    let metrics = metrics();
    let families = families(&metrics);
    assert!(families.len() > 20 && families.contains("ssekit_subscribers"), "{metrics}");
    let dashboard = read_example("grafana.json");
    let alerts = read_example("alerts.yaml");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let docs = std::fs::read_to_string(docs).expect("a document");
    for (place, text) in [("grafana.json", &dashboard), ("alerts.yaml", &alerts), ("metrics.md", &docs)] {
        let names = names(text);
        assert!(names.len() > 5, "{place}: {names:?}");
        for name in names {
            assert!(has_series(&families, name), "{place}: the hub has no metric {name}:\n{metrics}");
        }
    }
    let queries = queries().join("\n");
    let shown = names(&queries);
    for family in families {
        let is_shown = shown.iter().any(|name| has_series(&BTreeSet::from([family]), name));
        assert!(is_shown, "the dashboard does not show {family}");
    }
    for text in [&alerts, &docs] {
        for label in ["reason", "problem"] {
            for rest in text.split(&format!("{{{label}=\"")).skip(1) {
                let value = rest.split('"').next().expect("a label");
                let series = format!("{{{label}=\"{value}\"}}");
                assert!(metrics.contains(&series), "the hub has no series {series}:\n{metrics}");
            }
        }
    }
}

#[test]
fn prometheus_reads_the_alert_rules_and_every_query_of_the_dashboard() {
    let folder = folder("monitoring");
    let check = |path: &Path| {
        let output = run(Command::new("promtool").args(["check", "rules"]).arg(path));
        assert!(output.status.success(), "{}: {output:?}", path.display());
    };
    check(&example("alerts.yaml"));
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries().iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
        assert!(!query.contains('$'), "{query}");
        rules.push_str(&format!("  - record: query:{number}\n    expr: {}\n", Value::from(query)));
    }
    let file = folder.join("dashboard.yaml");
    std::fs::write(&file, rules).expect("the folder is there");
    check(&file);
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}

#[test]
fn the_alerts_fire_for_lost_updates_and_for_a_hub_that_is_down() {
    let folder = folder("alerts");
    let test = format!(
        r#"
rule_files: ["{}"]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'up{{job="ssekit", instance="hub"}}'
        values: "1 1 1 0 0 0 0"
      - series: 'ssekit_gaps_total{{instance="hub"}}'
        values: "0 0 1 1 1 1 1"
      - series: 'ssekit_lag_events{{instance="hub"}}'
        values: "0 0 0 0 0 0 0"
    alert_rule_test:
      - eval_time: 1m
        alertname: SsekitEventsLost
      - eval_time: 3m
        alertname: SsekitEventsLost
        exp_alerts:
          - exp_labels: {{ severity: warning, instance: hub }}
            exp_annotations:
              summary: "Subscribers of hub lost events"
              description: "Retention is shorter than subscribers are away: keep more in `retention`."
      - eval_time: 2m
        alertname: SsekitDown
      - eval_time: 5m
        alertname: SsekitDown
        exp_alerts:
          - exp_labels: {{ severity: critical, job: ssekit, instance: hub }}
            exp_annotations:
              summary: "The hub hub does not answer"
              description: "Look at its log. If it runs, `ssekit health` shows what it answers."
      - eval_time: 6m
        alertname: SsekitLagging
"#,
        example("alerts.yaml").canonicalize().expect("it exists").display()
    );
    let file = folder.join("test.yaml");
    std::fs::write(&file, test).expect("the folder is there");
    let output = run(Command::new("promtool").args(["test", "rules"]).arg(&file));
    assert!(output.status.success(), "{output:?}");
    std::fs::remove_dir_all(folder).expect("the folder can be removed");
}
