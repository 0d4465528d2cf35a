//! Counts allocations for the table, in a program of its own, because counting is slow. It prints a line for
//! each row and contestant, with tabs between row, contestant and allocations per event.

use allocation_counter::measure;
use ssekit_bench_codec::corpus::{self, Corpus, PIECES};
use ssekit_bench_codec::{decoding, encoding};

fn main() {
    let corpora = corpus::all();
    for corpus in &corpora {
        for size in PIECES {
            count_reading(corpus, size);
        }
    }
    count_reading(&corpus::one_line(), 1460);
    for corpus in corpora.iter().filter(|corpus| !corpus.events.is_empty()) {
        for writer in encoding::PEERS.iter().chain([&encoding::OURS, &encoding::BY_HAND]) {
            let mut out = Vec::with_capacity(2 * corpus.stream.len());
            // Buffers that are used again grow in the first run.
            (writer.write)(corpus.events, &mut out);
            let count = measure(|| {
                (writer.write)(corpus.events, &mut out);
            })
            .count_total;
            // Its values were made before the clock started.
            let owned = if writer.name == "sse-stream" { owned_strings(corpus) } else { 0 };
            print(corpus, "write", writer.name, count.saturating_sub(owned));
        }
    }
}

fn count_reading(corpus: &Corpus, size: usize) {
    let pieces = corpus.pieces(size);
    for reader in decoding::PEERS.iter().chain([&decoding::OURS]) {
        if corpus.stream.len() > 4 << 20 && reader.name == "eventsource-stream" {
            continue;
        }
        let count = measure(|| {
            (reader.read)(&pieces);
        })
        .count_total;
        print(corpus, &size.to_string(), reader.name, count);
    }
}

/// The strings of all events and the list that holds them.
fn owned_strings(corpus: &Corpus) -> u64 {
    let strings = corpus
        .events
        .iter()
        .map(|fields| 1 + u64::from(fields.id.is_some()) + u64::from(fields.event.is_some()));
    strings.sum::<u64>() + 1
}

fn print(corpus: &Corpus, kind: &str, name: &str, count: u64) {
    // Keep-alives are no events: there it is counted for each of them.
    let events = if corpus.events.is_empty() { corpus.stream.len() / 3 } else { corpus.events.len() };
    println!("{}\t{kind}\t{name}\t{}", corpus.name, count as f64 / events as f64);
}
