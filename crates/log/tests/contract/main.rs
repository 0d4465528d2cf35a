//! The contract of every log.
//!
//! A new log adds a [`Factory`](factory::Factory) and a line at the end of this file: `contract!`, and also
//! `contract_on_disk!` if the log outlives its process.

mod factory;
mod idempotency;
mod order;
mod restart;
mod retention;
mod tail;

use factory::{Durable, Memory};

macro_rules! cases {
    ($factory:expr, $module:ident: $($case:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $module::$case(&$factory).await;
        })+
    };
}

/// Runs each case in its own test, on its own log.
macro_rules! contract {
    ($name:ident, $factory:expr) => {
        mod $name {
            use super::*;

            cases!(
                $factory,
                order: positions_grow_in_the_order_of_a_batch,
                concurrent_appends_keep_the_order_of_each_publisher,
                a_refused_batch_appends_no_record,
                an_empty_append_adds_no_record,
                pages_respect_their_limits,
                records_are_read_unchanged,
                a_read_after_a_dropped_or_future_position_finds_later_records,
                an_id_finds_its_oldest_record,
            );
            cases!(
                $factory,
                tail: a_tail_reads_existing_and_new_records,
                a_slow_tail_reads_all_records,
                a_tail_ends_after_its_log_is_closed,
                a_tail_from_the_last_position_waits_for_new_records,
                a_tail_reports_dropped_records,
                a_tail_reads_a_burst_that_retention_drops,
                concurrent_readers_read_the_same_records,
            );
            cases!(
                $factory,
                retention: the_oldest_records_beyond_the_count_are_dropped,
                the_oldest_records_beyond_the_bytes_are_dropped,
                records_beyond_the_age_are_dropped,
                records_with_future_times_expire,
                older_records_of_a_topic_are_replaced,
                the_first_matching_rule_applies,
                a_dropped_record_moves_the_horizons_of_its_topics,
                a_dropped_record_is_not_found_by_its_id,
                an_id_of_a_replaced_record_finds_the_remaining_one,
                random_rules_keep_the_records_of_a_model,
                rules_outside_of_their_limits_are_refused,
            );
            cases!(
                $factory,
                idempotency: a_repeated_append_adds_nothing_and_returns_the_first_positions,
                a_key_with_other_content_is_refused_and_adds_nothing,
                keys_are_independent_of_each_other_and_of_appends_without,
                of_concurrent_appends_with_one_key_one_adds_its_records,
                a_refused_append_does_not_use_up_its_key,
                a_key_outlives_its_records,
                keys_are_forgotten_by_age,
                the_oldest_keys_are_forgotten_by_count,
                publishers_with_many_keys_lose_only_their_own,
            );
        }
    };
}

/// Runs the cases for a log that outlives its process.
macro_rules! contract_on_disk {
    ($name:ident, $factory:expr) => {
        mod $name {
            use super::*;

            cases!(
                $factory,
                restart: a_reopened_log_has_the_same_records,
                changed_rules_apply_after_a_restart,
                horizons_survive_a_restart_with_the_same_rules,
                an_open_tail_reads_all_records_after_close,
            );
            cases!(
                $factory,
                idempotency: keys_survive_a_restart,
                a_restart_remembers_the_newest_keys,
                a_restart_remembers_the_newest_keys_of_each_publisher,
            );
        }
    };
}

contract!(memory, Memory::default());
contract!(durable, Durable::new());
contract_on_disk!(durable_restarted, Durable::new());
