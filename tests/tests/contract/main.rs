//! What every source of messages must do, run against the embedded broker and against RabbitMQ.

mod admin;
mod arguments;
mod batches;
mod brakes;
mod calls;
mod consuming;
mod copies;
mod dedup;
mod documents;
mod exchanges;
mod extractors;
mod keys;
mod layers;
mod letters;
mod limits;
mod metrics;
mod operations;
mod ordering;
mod patterns;
mod payloads;
mod places;
mod publishing;
mod queues;
mod rates;
mod rehearsal;
mod replaying;
mod replies;
mod retries;
mod rpc;
mod running;
mod samples;
mod sending_on;
mod settlement;
mod shutdown;
mod startup;
mod traces;
mod typed;
mod validation;

/// Runs each test against both brokers.
macro_rules! contract {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod memory {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    ploomby_tests::Bed::memory().await.run(super::$module::$test).await;
                }
            )+)+
        }

        mod rabbit {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    ploomby_tests::Bed::rabbit().await.run(super::$module::$test).await;
                }
            )+)+
        }
    };
}

contract! {
    traces:
        each_copy_keeps_the_trace,
        what_a_handler_sends_belongs_to_the_trace_of_its_message,
        a_call_within_a_handler_belongs_to_its_trace,
        what_is_sent_outside_of_a_handler_says_what_the_sender_says,
        a_traceparent_that_is_none_changes_nothing,
        a_handler_that_needs_a_trace_refuses_a_message_without_one,
        a_message_without_a_trace_begins_one_if_the_queue_says_so,
        a_batch_goes_on_with_no_trace_of_its_messages;
    arguments:
        messages_of_a_higher_priority_come_first_in_their_order,
        without_a_limit_the_priority_changes_nothing,
        what_is_too_much_is_dropped_from_the_highest_priority_on,
        what_is_too_long_altogether_is_dead_lettered_from_the_head,
        a_queue_that_is_full_by_its_bytes_rejects,
        one_consumer_at_a_time_is_served,
        a_queue_that_nobody_uses_expires_with_its_messages,
        a_queue_that_is_consumed_does_not_expire,
        consumers_of_a_higher_priority_are_served_first,
        the_next_single_active_consumer_is_that_of_the_highest_priority,
        a_quorum_queue_has_two_priorities,
        an_argument_that_means_nothing_is_refused;
    admin:
        the_admin_port_says_how_the_program_is,
        the_admin_port_is_there_until_the_program_has_ended,
        a_program_nests_the_page_in_a_router_of_its_own,
        nothing_begins_without_its_admin_port,
        letters_are_replayed_edited_and_discarded_by_the_page,
        a_queue_is_paused_and_resumed_by_the_page;
    samples:
        a_sample_keeps_the_order_behind_a_consumer_that_is_full,
        a_sample_beside_a_consumer_keeps_no_message_from_it,
        a_quorum_queue_is_sampled_if_what_comes_back_keeps_its_place;
    metrics:
        messages_are_counted_by_what_becomes_of_them,
        a_message_is_in_flight_while_its_handler_is_at_work,
        it_is_counted_how_long_messages_waited_that_say_when_they_were_sent,
        what_handlers_send_and_programs_call_is_counted,
        a_queue_tells_of_its_consumers_and_its_brakes,
        prometheus_reads_all_of_it,
        dashboard_and_alarms_name_what_there_is;
    exchanges:
        a_queue_gets_the_messages_that_it_is_bound_for,
        headers_bring_a_message_to_its_queue,
        exchanges_lead_to_each_other,
        an_exchange_of_another_type_is_an_error_that_names_both,
        an_exchange_that_differs_otherwise_is_used_as_it_is,
        an_exchange_of_others_has_to_be_there,
        a_message_that_no_binding_takes_is_an_error_that_says_so,
        a_queue_that_was_deleted_is_bound_again,
        nothing_is_bound_if_nothing_is_to_be_declared,
        an_app_declares_what_it_only_sends_through,
        what_came_through_an_exchange_is_tried_again_in_its_queue_alone,
        the_broker_dead_letters_through_an_exchange;
    brakes:
        an_outage_counts_no_attempt_and_condemns_nothing,
        an_outage_keeps_the_order_that_there_is,
        an_outage_of_one_handler_does_not_hold_up_the_others,
        a_program_says_which_errors_are_of_an_outage,
        what_waits_for_the_end_of_an_outage_goes_back_at_shutdown,
        many_failures_in_a_row_slow_a_handler_down,
        an_error_says_when_the_next_message_may_come,
        a_check_that_fails_holds_the_messages_of_who_needs_it,
        a_check_that_nobody_makes_is_an_error_at_the_start,
        in_an_outage_messages_are_back_in_their_queue,
        a_paused_queue_waits_until_it_is_resumed,
        a_paused_handler_waits_until_it_is_resumed,
        pauses_that_come_and_go_leave_no_message_behind;
    rates:
        a_rate_is_even,
        a_rate_of_one_handler_does_not_hold_up_the_others,
        a_burst_begins_at_once_and_what_is_above_it_goes_back_at_shutdown,
        a_rate_and_a_concurrency_go_together,
        a_rate_of_batches_counts_batches,
        a_rate_keeps_the_order_that_there_is,
        a_queue_has_one_rate_for_its_handlers,
        a_message_of_an_outage_does_not_wait_behind_those_that_wait_for_its_place,
        batches_and_messages_at_one_rate_do_not_wait_for_each_other,
        a_rate_holds_when_a_brake_goes_off,
        a_pause_holds_what_waits_for_its_turn;
    running:
        a_program_ends_with_the_future_that_it_runs_until,
        a_consumer_that_works_is_waited_for,
        the_publisher_of_an_app_is_closed_with_it,
        a_message_without_the_header_is_named_by_its_type;
    keys:
        text_in_a_header_names_the_handler,
        a_number_in_a_header_reads_as_its_digits,
        bytes_in_a_header_read_as_text,
        the_property_type_names_the_handler,
        the_routing_key_names_the_handler,
        the_default_handler_takes_keys_that_no_other_has,
        each_message_reaches_the_handler_of_its_key;
    places:
        a_field_of_the_body_names_the_handler,
        a_body_without_a_key_says_what_is_there,
        a_function_of_the_program_finds_the_key,
        a_sender_has_the_key_in_the_payload,
        the_default_handler_takes_messages_without_a_key,
        a_default_handler_that_takes_the_key_refuses_a_message_without,
        a_key_that_no_handler_has_is_told_with_those_that_are_near;
    patterns:
        a_pattern_takes_the_keys_that_fit,
        a_key_goes_to_its_handler_then_to_the_narrowest_pattern,
        a_routing_key_fits_the_pattern_that_binds_its_queue,
        patterns_that_tie_are_an_error_at_the_start,
        a_pattern_is_no_address,
        a_program_tells_of_its_patterns;
    replies:
        a_value_goes_to_who_asked,
        a_value_is_encoded_as_the_request_was,
        a_handler_without_a_value_says_that_it_is_done,
        a_message_that_asks_for_no_reply_is_simply_handled,
        a_reply_that_holds_an_error_fails_its_message,
        a_reply_that_nobody_waits_for_any_more_is_left_out,
        a_reply_that_is_refused_is_worth_less_than_its_message,
        a_reply_goes_nowhere_where_it_would_do_harm,
        replies_go_only_where_the_program_says,
        a_large_reply_goes_to_who_waits_for_it_alone,
        a_queue_says_which_replies_it_sends,
        the_text_of_an_error_is_told_only_where_the_program_says_so,
        an_outcome_sends_no_reply,
        who_asked_is_told_of_a_failure_which_is_dead_lettered,
        who_asked_is_told_which_field_does_not_decode,
        an_error_that_is_meant_for_who_asked_is_no_dead_letter,
        who_asked_is_told_once_after_the_last_attempt,
        replies_may_look_like_those_of_the_python_original;
    dedup:
        a_message_that_was_handled_is_not_handled_again,
        an_id_counts_once_its_handler_is_done,
        the_id_of_a_handler_that_was_dropped_is_free_again,
        a_store_that_is_away_condemns_nothing,
        what_was_handled_is_noted_once_the_store_is_back,
        what_waits_for_the_store_goes_back_at_shutdown,
        the_wait_for_a_claim_is_no_time_of_the_handlers,
        an_id_is_released_where_its_handler_is_dropped_on_the_way,
        an_empty_id_is_none,
        an_id_with_a_byte_that_databases_refuse_is_one,
        a_message_that_its_handler_sends_again_is_a_new_one,
        a_message_of_two_queues_is_handled_in_both,
        a_request_is_answered_each_time,
        a_message_waits_for_its_twin;
    sending_on:
        a_message_that_is_sent_on_starts_anew,
        what_is_sent_on_has_an_id_of_its_own_unless_told_otherwise,
        what_died_before_is_delayed_all_the_same,
        nothing_is_sent_before_it_is_awaited,
        a_delay_is_never_shortened_to_whole_milliseconds,
        a_delayed_message_is_kept_until_its_queue_is_there_and_has_room,
        what_would_wait_for_more_than_ten_years_is_refused;
    typed:
        a_handler_is_sent_to_and_called_by_its_function,
        a_function_without_a_key_is_refused,
        a_function_whose_name_another_one_has_is_refused;
    settlement:
        a_handled_message_is_gone,
        a_message_without_a_key_goes_to_the_dead_letter_queue,
        a_key_that_no_handler_has_goes_to_the_dead_letter_queue,
        a_key_of_an_odd_type_goes_to_the_dead_letter_queue,
        an_undecodable_body_goes_to_the_dead_letter_queue_and_names_the_field,
        an_error_goes_to_the_dead_letter_queue_with_all_its_causes,
        a_panic_is_one_failed_message,
        an_error_of_ten_megabytes_is_cut,
        a_dead_letter_is_the_message_as_it_was,
        a_dead_letter_does_not_expire,
        a_dead_letter_goes_nowhere_else,
        a_dead_letter_that_is_moved_back_is_handled_and_fails_anew,
        a_deleted_dead_letter_queue_is_declared_again,
        the_handler_decides_by_its_outcome,
        a_requeued_message_comes_back_redelivered;
    consuming:
        handlers_run_concurrently_up_to_the_prefetch,
        messages_of_a_burst_are_not_mixed_up,
        what_exceeds_the_prefetch_stays_with_the_broker,
        concurrency_limits_all_consumers_together,
        one_at_a_time_keeps_the_order,
        several_consumers_share_the_work,
        a_slow_handler_does_not_hold_up_the_others,
        every_kind_of_header_arrives,
        an_empty_body_and_a_large_one_arrive,
        a_payload_that_borrows_from_the_message_arrives;
    batches:
        a_full_batch_does_not_wait,
        handlers_of_batches_share_a_prefetch,
        a_batch_leaves_out_what_went_with_its_queue,
        a_batch_that_is_not_full_waits_so_long,
        an_item_is_settled_by_itself,
        an_undecodable_item_is_no_part_of_the_batch,
        an_item_whose_decoding_panics_is_no_part_of_the_batch,
        an_error_or_a_panic_is_that_of_all_that_are_not_settled,
        the_timeout_of_a_batch_begins_with_the_handler,
        a_batch_that_waits_is_handled_at_shutdown,
        several_consumers_fill_one_batch,
        a_batch_that_waits_for_another_goes_on_taking,
        a_message_that_leaves_its_batch_takes_none_along,
        a_batch_goes_on_without_those_that_left,
        a_batch_has_no_two_messages_of_one_value,
        an_item_replies_by_itself,
        a_batch_that_cannot_fill_is_an_error,
        what_is_of_one_message_is_refused_beside_a_batch,
        state_stands_beside_a_batch,
        the_attribute_takes_batches;
    payloads:
        the_content_type_names_the_codec,
        a_protobuf_payload_takes_its_own_type_and_none,
        a_message_that_says_nothing_is_decoded_as_its_queue_says,
        a_content_type_that_is_not_known_goes_to_the_dead_letter_queue,
        an_undecodable_body_of_any_codec_names_the_field,
        a_broken_body_of_any_codec_goes_to_the_dead_letter_queue,
        a_body_nested_without_end_does_not_end_the_program,
        a_payload_borrows_from_a_body_of_any_codec_also_a_compressed_one,
        a_compressed_body_is_decompressed,
        a_raw_body_is_not_decompressed,
        a_content_encoding_that_is_not_known_goes_to_the_dead_letter_queue,
        a_body_that_does_not_decompress_goes_to_the_dead_letter_queue,
        a_body_that_grows_beyond_the_limit_is_refused,
        the_limit_after_decompression_can_be_chosen,
        a_valid_payload_is_handled,
        an_invalid_payload_names_each_field,
        an_error_that_names_a_million_fields_is_cut;
    validation:
        a_payload_with_rules_is_validated_in_every_form,
        a_protobuf_payload_with_rules_is_validated,
        each_item_of_a_batch_is_validated,
        rules_that_need_a_context_get_its_default,
        what_is_unvalidated_is_left_to_its_handler;
    publishing:
        a_sent_payload_reaches_its_handler,
        a_message_says_what_it_is,
        the_key_stands_where_the_publisher_says,
        headers_and_properties_arrive_as_they_were_set,
        the_body_is_encoded_as_the_publisher_says,
        a_message_that_reaches_no_queue_is_an_error,
        a_full_queue_that_rejects_is_an_error,
        what_cannot_be_written_is_an_error,
        a_delayed_message_arrives_after_its_delay,
        a_delay_that_cannot_be_kept_is_an_error,
        a_message_expires,
        a_batch_arrives_in_order,
        a_batch_tells_which_messages_failed,
        a_long_batch_is_read_as_it_is_sent,
        a_publisher_that_a_handler_may_do_without_is_there;
    rpc:
        a_call_returns_what_the_handler_replies,
        an_error_is_told_apart_from_a_value,
        a_reply_of_another_shape_is_an_error,
        a_reply_has_the_codec_of_its_request,
        a_call_where_nobody_listens_fails_at_once,
        a_call_without_a_reply_times_out_and_leaves_the_queue,
        a_late_reply_is_nobodys,
        a_forged_reply_is_nobodys,
        a_call_whose_reply_has_no_id_has_an_address_of_its_own,
        a_reply_that_is_too_large_is_dropped,
        a_request_says_where_its_reply_goes,
        ten_thousand_calls_of_which_some_are_dropped,
        the_detail_of_the_python_original_is_read;
    calls:
        a_value_a_unit_and_an_option_come_back,
        an_error_of_a_handler_comes_back_with_its_causes,
        an_error_for_who_called_comes_back_as_it_is,
        a_payload_that_does_not_fit_comes_back_with_its_fields,
        a_panic_and_a_timeout_come_back_as_errors,
        a_call_that_is_tried_again_is_answered_by_the_attempt_that_decides,
        values_and_errors_come_back_in_each_codec,
        a_thousand_calls_at_once_get_each_its_own_value;
    queues:
        a_queue_that_exists_is_used_as_it_is,
        a_missing_queue_is_waited_for_if_nothing_is_to_be_declared,
        a_dead_letter_queue_with_other_arguments_is_an_error,
        a_name_of_255_bytes_works_and_one_more_is_an_error,
        a_deleted_queue_is_declared_and_consumed_again,
        another_dead_letter_queue_can_be_named,
        a_queue_is_declared_as_the_kind_that_the_program_says,
        a_queue_that_is_to_be_a_stream_is_refused_with_the_reason;
    copies:
        what_cannot_be_copied_waits_and_does_not_run_again,
        what_waits_for_its_copy_goes_back_at_shutdown,
        a_message_that_lies_about_its_past_is_tried_as_any_other,
        bodies_that_unpack_to_much_take_turns;
    retries:
        a_failed_message_is_tried_again_until_it_succeeds,
        what_fails_each_time_ends_in_the_dead_letter_queue,
        a_dead_letter_that_is_moved_back_has_all_its_attempts_again,
        a_long_delay_does_not_hold_up_a_short_one,
        a_message_waits_at_least_as_long_as_its_delay,
        what_will_fail_again_is_not_tried_again,
        a_panic_and_a_timeout_are_tried_again,
        a_handler_asks_for_more_attempts_than_it_has,
        a_routing_key_that_names_the_handler_survives_a_retry,
        three_programs_make_as_many_attempts_as_one,
        a_retry_queue_with_other_arguments_is_an_error,
        a_deleted_retry_queue_is_declared_again,
        what_has_no_room_for_the_count_is_not_tried_for_ever,
        what_has_no_room_for_its_deaths_is_not_tried_without_them;
    limits:
        a_handler_past_its_timeout_is_dropped,
        a_panic_while_a_handler_is_dropped_is_one_failed_message,
        a_message_that_always_comes_back_is_dead_lettered,
        a_handlers_own_limit_holds_up_no_other_handler,
        no_more_is_held_than_can_be_worked_at,
        one_at_a_time_keeps_the_order_of_what_comes_back,
        a_body_over_the_limit_is_dead_lettered,
        handlers_hold_no_more_bytes_than_allowed,
        a_handlers_own_limit_does_not_hold_up_others,
        a_queue_limits_each_of_its_handlers,
        a_handler_that_blocks_is_named_until_it_yields,
        what_waits_for_a_handlers_own_limit_goes_back_at_shutdown,
        a_handler_of_one_queue_goes_before_that_of_all,
        a_handler_for_a_queue_that_nobody_consumes_is_an_error,
        an_option_of_zero_is_an_error,
        a_full_dead_letter_queue_keeps_what_it_has,
        dead_letters_can_be_left_to_the_broker,
        a_handler_of_several_keys_has_one_limit;
    ordering:
        each_value_is_in_order_and_all_run_in_parallel,
        a_busy_value_holds_up_none_but_its_own,
        what_waits_for_its_turn_goes_back_at_shutdown,
        a_queue_orders_all_its_handlers_together,
        a_field_of_the_body_orders_too,
        what_fails_lets_the_next_one_begin,
        an_order_is_kept_by_what_comes_back,
        an_order_and_a_limit_of_a_handler_go_together,
        several_consumers_cannot_keep_an_order,
        the_attribute_says_what_to_order_by;
    startup:
        duplicate_keys_are_one_error_that_names_all_functions,
        no_handler_is_an_error,
        a_queue_is_registered_once,
        a_queue_cannot_be_its_own_dead_letter_queue,
        no_concurrency_is_an_error,
        no_consumers_are_an_error,
        a_queue_without_a_handler_is_an_error,
        no_queue_is_consumed_before_all_can_be,
        an_unlimited_prefetch_is_an_error;
    shutdown:
        running_handlers_finish_and_the_rest_goes_back,
        a_handler_past_the_deadline_is_cut_off_and_named,
        an_app_that_is_dropped_gives_all_back,
        a_program_that_blocks_a_thread_shuts_down_all_the_same,
        what_was_handled_is_acknowledged;
    extractors:
        state_that_the_app_gives_reaches_the_handlers_of_all_queues,
        state_that_a_registry_of_consumers_gives_reaches_its_handlers,
        state_that_nobody_gives_is_an_error_at_startup_with_all_other_faults,
        state_that_a_handler_can_do_without_need_not_be_given,
        an_extractor_of_the_users_says_which_state_it_needs,
        an_extractor_of_the_users_can_be_optional_or_tried,
        headers_are_taken_by_name_and_type,
        a_header_that_is_missing_is_named,
        a_header_that_does_not_fit_is_named_and_its_value_is_not,
        headers_can_be_optional_or_tried,
        an_extension_that_no_layer_left_is_named,
        an_extension_can_be_optional,
        a_rejection_for_the_dead_letter_queue_is_not_tried_again,
        a_rejection_for_a_retry_is_tried_until_no_attempt_is_left,
        a_rejection_for_a_retry_is_handled_once_it_is_no_more,
        a_rejection_without_a_retry_policy_ends_in_the_dead_letter_queue,
        a_rejection_that_requeues_brings_the_message_back,
        a_rejection_that_discards_leaves_nothing;
    layers:
        layers_of_the_app_are_outside_and_those_of_the_handler_inside,
        a_layer_of_a_queue_or_a_handler_is_around_no_other,
        a_layer_leaves_what_handlers_take,
        a_layer_sees_why_a_message_fails_and_changes_nothing_about_it,
        a_failure_is_tried_again_as_without_a_layer,
        a_timeout_of_towers_counts_as_a_timeout,
        a_rate_limit_of_one_handler_does_not_hold_up_others,
        a_limit_counts_for_a_handler_a_queue_or_all_that_share_it,
        a_limit_of_one_handler_is_kept,
        what_exceeds_a_limit_can_be_shed_and_tried_again,
        a_layer_that_answers_by_itself_decides,
        a_layer_that_fails_is_a_failed_message,
        a_layer_calls_its_service_again,
        a_delivery_that_a_layer_made_is_not_lost,
        the_timeout_of_a_handler_includes_the_wait_for_its_layers,
        what_waits_for_a_layer_goes_back_at_shutdown,
        a_layer_past_the_deadline_of_the_shutdown_is_cut_off_and_named;
    letters:
        a_dead_letter_says_which_it_is_and_what_failed_where,
        what_a_sender_makes_up_stands_on_no_dead_letter,
        a_message_says_when_it_was_sent_and_by_which_program,
        state_is_made_once_when_the_program_starts;
    operations:
        a_look_changes_nothing,
        letters_of_one_cause_are_a_group,
        a_letter_outlives_a_hundred_looks,
        what_is_declared_is_checked_and_not_made,
        what_leads_to_a_queue_is_declared_with_it,
        what_is_discarded_can_be_brought_back,
        it_is_told_which_letters_this_build_would_take;
    rehearsal:
        a_message_is_checked_before_it_is_sent,
        a_rehearsal_settles_and_sends_nothing,
        a_rehearsal_says_what_would_become_of_a_message;
    replaying:
        a_replay_brings_each_letter_back_once_and_in_order,
        a_canary_that_comes_back_ends_the_replay,
        a_letter_that_its_queue_does_not_take_stays,
        a_replayed_letter_has_its_own_address_again,
        an_edited_letter_goes_back_once_it_fits,
        an_edited_letter_goes_to_the_handler_of_another_routing_key;
}
