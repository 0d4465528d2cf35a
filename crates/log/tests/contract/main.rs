//! The contract of every log. A new log adds a [`Factory`] and a line below: `contract!`, and
//! `contract_on_disk!` if it outlives its process.

mod factory;
mod follow;
mod idempotency;
mod keep;
mod order;
mod restart;

use factory::{Durable, Memory};

macro_rules! cases {
    ($factory:expr, $module:ident: $($case:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $module::$case(&$factory).await;
        })+
    };
}

/// Runs each case in a test of its own, on a log of its own.
macro_rules! contract {
    ($name:ident, $factory:expr) => {
        mod $name {
            use super::*;

            cases!($factory, order: positions_grow_in_the_order_of_a_batch, concurrent_appends_are_whole_and_in_order_for_each,
                a_batch_that_is_refused_leaves_nothing, nothing_appended_is_nothing_kept, pages_obey_their_limits, records_come_back_as_they_were,
                a_place_in_a_gap_or_ahead_is_read_after, an_id_is_found_where_it_was_first);
            cases!($factory, follow: a_tail_gives_what_is_there_and_what_comes, a_slow_tail_gets_all_of_it, a_tail_ends_with_its_log,
                a_tail_from_the_end_waits, a_tail_is_told_what_it_missed, a_burst_reaches_a_tail_though_less_is_kept,
                any_readers_and_pauses_see_one_log);
            cases!($factory, keep: by_count, by_bytes, by_age, by_age_though_the_clock_was_ahead, the_last_of_each_topic, the_first_rule_that_matches_decides, ids_go_with_their_records,
                an_id_that_was_replaced_is_found_where_it_is_left, any_rules_keep_what_they_say, rules_outside_of_their_limits_are_refused);
            cases!($factory, idempotency: a_repeated_append_adds_nothing_and_returns_the_first_positions, a_key_with_other_content_is_refused_and_adds_nothing,
                keys_are_independent_of_each_other_and_of_appends_without, of_concurrent_appends_with_one_key_one_adds_its_records,
                a_refused_append_does_not_use_up_its_key, a_key_outlives_its_records, keys_are_forgotten_by_age, the_oldest_keys_are_forgotten_by_count,
                a_publisher_with_many_keys_pushes_out_its_own);
        }
    };
}

/// The additional contract of a log that outlives its process.
macro_rules! contract_on_disk {
    ($name:ident, $factory:expr) => {
        mod $name {
            use super::*;

            cases!($factory, restart: everything_is_there_again, rules_may_change, a_tail_that_is_behind_reads_on_after_the_end);
            cases!($factory, idempotency: keys_are_there_again_after_a_restart, a_restart_remembers_the_newest_keys,
                a_restart_remembers_the_newest_keys_of_each_publisher);
        }
    };
}

contract!(memory, Memory::default());
contract!(durable, Durable::new());
contract_on_disk!(durable_restarted, Durable::new());
