//! Every reader and writer on every corpus, by itself, for tuning:
//! `cargo bench --manifest-path bench/Cargo.toml -p ssekit-bench-codec -- ssekit-wire`. The table (`cargo run
//! --release`) compares them fairly.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ssekit_bench_codec::corpus::{self, PIECES};
use ssekit_bench_codec::{decoding, encoding};

fn decode(criterion: &mut Criterion) {
    for corpus in corpus::all() {
        for size in PIECES {
            let pieces = corpus.pieces(size);
            let mut group = criterion.benchmark_group(format!("decode {} in {size} B", corpus.name));
            group.throughput(Throughput::Bytes(corpus.stream.len() as u64));
            for reader in decoding::PEERS.iter().chain([&decoding::OURS]).chain(&decoding::FLOORS) {
                group.bench_function(BenchmarkId::from_parameter(reader.name), |bencher| {
                    bencher.iter(|| (reader.read)(black_box(&pieces)));
                });
            }
        }
    }
}

fn encode(criterion: &mut Criterion) {
    for corpus in corpus::all().into_iter().filter(|corpus| !corpus.events.is_empty()) {
        let mut out = Vec::with_capacity(2 * corpus.stream.len());
        let mut group = criterion.benchmark_group(format!("encode {}", corpus.name));
        group.throughput(Throughput::Bytes(corpus.stream.len() as u64));
        for writer in encoding::PEERS.iter().chain([&encoding::OURS, &encoding::BY_HAND]) {
            group.bench_function(BenchmarkId::from_parameter(writer.name), |bencher| {
                bencher.iter_custom(|rounds| {
                    (0..rounds).map(|_| (writer.write)(corpus.events, &mut out).time).sum()
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1));
    targets = decode, encode
}
criterion_main!(benches);
