use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_postgres::{Client, Error, NoTls};

use crate::CHANNELS;
use crate::page::Seen;

/// A program that commits transactions. Its notifications are numbered.
pub(crate) struct Writer {
    name: String,
    url: String,
    database: Option<Client>,
    /// The number that it used last, and how many transactions it has tried.
    last: u64,
    tried: u64,
    /// The numbers whose commit the server has answered.
    committed: Vec<u64>,
    pace: Interval,
}

/// The text of notifications in transactions that are rolled back.
pub(crate) const NEVER: &str = "rolled back";

impl Writer {
    pub(crate) async fn new(number: usize, url: &str) -> Self {
        let mut pace = interval(Duration::from_millis(10));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let database = Some(connect(url).await.expect("the server runs"));
        let (name, url) = (format!("writer-{number}"), url.to_owned());
        Self { name, url, database, last: 0, tried: 0, committed: Vec::new(), pace }
    }

    /// One transaction with one to three notifications, and sometimes one that is rolled back. When the
    /// server goes, the transaction is not repeated: whether it was committed is not known.
    pub(crate) async fn commit(&mut self) {
        if self.database.as_ref().is_none_or(Client::is_closed) {
            self.database = connect(&self.url).await.ok();
        }
        let Some(database) = &self.database else { return };
        self.tried += 1;
        let first = self.last + 1;
        self.last += 1 + self.tried % 3;
        let mut sql = "BEGIN;".to_owned();
        for number in first..=self.last {
            let channel = CHANNELS[number as usize % 2].replace('"', "\"\"");
            sql += &format!("NOTIFY \"{channel}\", '{} {number}';", self.name);
        }
        sql += "COMMIT;";
        if self.tried.is_multiple_of(5) {
            sql += &format!("BEGIN; NOTIFY orders, '{NEVER}'; ROLLBACK;");
        }
        if database.batch_execute(&sql).await.is_ok() {
            self.committed.extend(first..=self.last);
        }
    }

    /// Keeps it from sending more than the example holds for pages that return.
    pub(crate) async fn pause(&mut self) {
        self.pace.tick().await;
    }

    pub(crate) fn committed(&self) -> &[u64] {
        &self.committed
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The number of this notification, if it is this writer's. It has come by the right channel.
    pub(crate) fn number_of(&self, seen: &Seen) -> Option<u64> {
        let number: u64 = seen.data.strip_prefix(&self.name)?.strip_prefix(' ')?.parse().ok()?;
        assert_eq!(seen.event, CHANNELS[number as usize % 2]);
        Some(number)
    }
}

pub(crate) async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
