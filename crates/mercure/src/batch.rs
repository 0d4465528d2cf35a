//! Publications in batches: a JSON object in each line, all valid or none taken.

use serde::Deserialize;
use serde_json::value::RawValue;
use ssekit_log::Record;

use super::limits::Limits;
use super::object::Object;
use super::problem::{Kind, Problem};
use super::publication::{Draft, expect_size, expect_type};

/// Reads a batch of publications, a JSON object in each line (`application/x-ndjson`).
///
/// If one is invalid, none is taken.
///
/// `{"topic": "…" or ["…"], "data": …, "private": true, "id": "…", "type": "…", "retry": 1000}`. A string is
/// the data itself, any other value its JSON text, `null` no data. Other members are refused, because the hub
/// would drop them. Empty lines are skipped.
///
/// ```
/// use ssekit_mercure::{Limits, publications_ndjson};
///
/// let lines = b"{\"topic\": \"a\", \"data\": {\"n\": 1}}\n{\"topic\": [\"b\", \"c\"], \"data\": \"x\"}\n";
/// let records = publications_ndjson(None, lines, "/.well-known/mercure", &Limits::default())?;
/// assert_eq!(records[0].body, "data: {\"n\": 1}\n\n");
/// assert_eq!(records[1].topics.len(), 2);
/// # Ok::<(), ssekit_mercure::Problem>(())
/// ```
///
/// # Errors
/// With the line and its fault.
pub fn publications_ndjson(
    content_type: Option<&str>,
    body: &[u8],
    hub_path: &str,
    limits: &Limits,
) -> Result<Vec<Record>, Problem> {
    expect_type(content_type, "application/x-ndjson")?;
    expect_size("the body", "bytes", body.len(), limits.body)?;
    let mut records = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        expect_size("the batch", "publications", records.len() + 1, limits.batch)?;
        let record = read(line, hub_path, limits)
            .map_err(|problem| problem.within(&format!("line {}: ", index + 1)))?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(Problem::new(Kind::InvalidBatch, "the batch is empty: send one JSON object per line"));
    }
    Ok(records)
}

fn read(line: &[u8], hub_path: &str, limits: &Limits) -> Result<Record, Problem> {
    let invalid = |error: serde_json::Error| Problem::new(Kind::InvalidBatch, error.to_string());
    let Object(line): Object<Line<'_>> = serde_json::from_slice(line).map_err(invalid)?;
    let data = match line.data {
        // A string is the data itself; the data of any other value is its JSON text.
        Some(data) if data.get().starts_with('"') => Some(serde_json::from_str(data.get()).map_err(invalid)?),
        Some(data) => Some(data.get().to_owned()),
        None => None,
    };
    let topics = match line.topic {
        None => Vec::new(),
        Some(Topics::One(topic)) => vec![topic],
        Some(Topics::Many(topics)) => topics,
    };
    Draft { topics, data, private: line.private, id: line.id, event_type: line.event_type, retry: None }
        .record(line.retry, hub_path, limits)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    topic: Option<Topics>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    private: bool,
    id: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    retry: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a topic or a list of topics")]
enum Topics {
    One(String),
    Many(Vec<String>),
}
