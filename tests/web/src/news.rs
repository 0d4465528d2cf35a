//! A channel that is also on disk, one JSON value a line: a server that was killed goes on with the same ids.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use ssekit::{Channel, Event};

use crate::app::Publication;

pub(crate) struct News {
    pub(crate) channel: Channel,
    log: Mutex<Log>,
}

struct Log {
    file: Option<File>,
    events: u64,
}

impl News {
    pub(crate) fn new(log: Option<PathBuf>) -> anyhow::Result<Self> {
        let channel = Channel::builder().keep_last(100_000).build();
        let mut events = 0;
        let mut file = None;
        if let Some(path) = log {
            let mut options = OpenOptions::new();
            let opened = options.create(true).read(true).append(true).open(&path);
            let opened = opened.with_context(|| format!("the log {} cannot be opened", path.display()))?;
            for line in BufReader::new(&opened).lines() {
                let (event, data): (String, String) =
                    serde_json::from_str(&line?).context("a line of the log is not an event")?;
                events += 1;
                send(&channel, events, &event, &data)?;
            }
            file = Some(opened);
        }
        Ok(Self { channel, log: Mutex::new(Log { file, events }) })
    }

    pub(crate) fn publish(&self, publication: &Publication) -> anyhow::Result<String> {
        let Publication { event, data } = publication;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Event::new(data).with_event(event)?;
        if let Some(file) = &mut log.file {
            // In one write, so that a server that is killed leaves whole lines.
            let line = serde_json::to_string(&(event, data))? + "\n";
            file.write_all(line.as_bytes()).context("the log cannot be written")?;
        }
        log.events += 1;
        send(&self.channel, log.events, event, data)?;
        Ok(log.events.to_string())
    }
}

fn send(channel: &Channel, id: u64, event: &str, data: &str) -> anyhow::Result<()> {
    channel.try_send(Event::new(data).with_event(event)?.with_id(id.to_string())?)?;
    Ok(())
}
