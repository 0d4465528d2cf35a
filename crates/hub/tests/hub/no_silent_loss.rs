//! Random cases: each subscriber receives every event that it may read, or a notice that events are missing.
//!
//! A case draws a store, retention rules, publishers with bursts of 1 to 10,000 updates, restarts of the hub,
//! and subscribers of all kinds. `SSEKIT_SEED` repeats one case, `SSEKIT_CASES` sets their number; the order
//! in which sockets are served differs from run to run.

mod case;
mod published;
mod reader;
mod stage;
mod verdict;

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::timeout;

use self::case::Case;
use self::stage::Stage;
use self::verdict::Verdict;
use crate::setup::cases;

async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let case = Case::draw(&mut rng);
    let stage = Stage::start(&case).await;
    let reading = join_all(case.readers.iter().map(|reader| reader.read(&stage)));
    let both = async { tokio::join!(reading, stage.play(&case)) };
    let Ok((all_seen, ())) = timeout(PATIENCE, both).await else {
        panic!("a reader has not come to the end within {PATIENCE:?} in {case:#?}");
    };
    let (held, _) = stage.held().await;
    let published = stage.published.records();
    for (reader, seen) in case.readers.iter().zip(all_seen) {
        if let Err(fault) = (Verdict { case: &case, published: &published, held: &held, reader }).of(&seen) {
            let end = seen.len().saturating_sub(5);
            panic!("{fault}\n{reader:?}\nends with {:?}\nin {case:#?}", &seen[end..]);
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscriber_receives_each_event_or_a_notice_of_its_loss() {
    for seed in cases(FEW, MANY) {
        if let Err(panic) = tokio::spawn(run(seed)).await {
            panic!("SSEKIT_SEED={seed}: {panic}");
        }
    }
}

/// Number of cases in the normal suite, and in a long run.
const FEW: u64 = 4;
const MANY: u64 = 400;
/// A case takes seconds.
const PATIENCE: Duration = Duration::from_secs(180);
