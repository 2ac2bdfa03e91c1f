//! The tests of the laws are tested: each known flaw must be caught within a fixed number of worlds.

use leasehold_integration_tests::worlds::{self, flaws::Flaw};

/// Runs worlds with a flaw until a law breaks; each law that it may break is named.
fn is_caught(flaw: Flaw, laws: &[u8], within: u64) {
    let broken = (1..=within).find_map(|seed| worlds::run(seed, Some(flaw), false).violation);
    let law = broken.as_ref().map(|violation| violation.law);
    assert!(
        law.is_some_and(|law| laws.contains(&law)),
        "`{}` in {within} worlds: {broken:?}",
        flaw.name()
    );
}

macro_rules! caught {
    ($($name:ident: $flaw:ident breaks $laws:expr, within $within:expr;)*) => {
        $(
            #[test]
            fn $name() {
                is_caught(Flaw::$flaw, &$laws, $within);
            }
        )*

        #[test]
        fn every_flaw_has_its_test() {
            let tested = [$(Flaw::$flaw),*];
            assert!(Flaw::ALL.iter().all(|flaw| tested.contains(flaw)));
        }
    };
}

caught! {
    a_lease_that_is_stored_after_the_issue_is_caught:
        StoredAfterTheIssue breaks [1, 8], within 50;
    a_revocation_error_that_is_swallowed_is_caught:
        RevocationErrorSwallowed breaks [1, 5], within 200;
    a_revocation_that_does_not_wait_for_the_issue_is_caught:
        NoSettleSpan breaks [1], within 500;
    an_uncertain_issue_that_is_taken_for_refused_is_caught:
        UncertainTakenForRefused breaks [1], within 1000;
    a_clock_that_is_not_read_again_is_caught:
        ClockNotReadAgain breaks [2, 3, 4], within 100;
    an_end_that_is_rounded_up_past_the_ceiling_is_caught:
        RenewalRoundsUp breaks [4], within 100;
    a_back_off_that_stops_is_caught:
        BackOffStops breaks [2], within 100;
    a_batch_that_drops_its_tail_is_caught:
        BatchDropsItsTail breaks [1, 5], within 4000;
    a_refill_that_loses_what_is_due_at_the_horizon_is_caught:
        RefillLosesTheHorizon breaks [2], within 3000;
    a_lazy_deletion_that_revokes_a_renewed_lease_is_caught:
        LazyDeletionRevokesRenewed breaks [2], within 100;
    a_prefix_that_reaches_further_is_caught:
        PrefixReachesFurther breaks [2], within 200;
    a_child_that_outlives_its_parent_is_caught:
        ChildOutlivesParent breaks [4], within 200;
    a_token_that_ends_between_decision_and_commit_is_caught:
        TokenEndsMeanwhile breaks [4], within 1000;
    an_uncertain_batch_that_is_sent_again_is_caught:
        UncertainSentAgain breaks [1], within 1000;
    a_sweep_that_drops_what_it_did_not_create_is_caught:
        SweepDropsForeign breaks [9], within 200;
    absence_elsewhere_that_is_taken_for_death_is_caught:
        AbsenceElsewhere breaks [1, 2, 5], within 500;
    a_renewal_that_is_committed_while_the_lapse_is_asked_is_caught:
        RenewalWhileLapseIsAsked breaks [2, 4], within 500;
    a_removal_before_its_record_is_caught:
        RemovedBeforeItsRecord breaks [8], within 50;
    a_record_after_the_effect_is_caught:
        AuditAfterTheEffect breaks [8], within 50;
    sessions_that_live_on_are_caught:
        SessionsLiveOn breaks [5], within 50;
    a_secret_in_the_handle_is_caught:
        SecretInTheHandle breaks [3], within 50;
    a_renewal_that_loses_its_place_is_caught:
        RenewalLosesItsPlace breaks [2], within 50;
    a_first_attempt_that_is_put_off_is_caught:
        FirstAttemptPutOff breaks [2], within 100;
    a_token_that_is_found_late_is_caught:
        TokensFoundLate breaks [2], within 500;
    an_accessor_that_is_left_behind_is_caught:
        AccessorLeft breaks [2], within 50;
    a_history_that_is_not_kept_is_caught:
        HistoryNotKept breaks [2], within 50;
    a_second_revocation_that_is_not_recorded_is_caught:
        RecordedOnceForEver breaks [8], within 500;
    a_refused_renewal_that_is_stored_all_the_same_is_caught:
        RefusedRenewalStored breaks [2], within 1000;
    an_extension_that_comes_late_and_wins_is_caught:
        LateExtensionWins breaks [2], within 4000;
    a_batch_that_is_torn_is_caught:
        BatchTorn breaks [1, 2, 4], within 100;
    a_repetition_that_is_forgotten_after_a_restart_is_caught:
        RepeatsForgotten breaks [3], within 500;
    a_repetition_that_serves_anybody_is_caught:
        RepeatsServeAnybody breaks [3], within 100;
    a_renewal_that_is_acknowledged_and_not_stored_is_caught:
        RenewalNotStored breaks [2], within 200;
    a_renewal_that_the_target_is_not_told_is_caught:
        RenewalNotTold breaks [2], within 100;
    a_renewal_that_is_not_recorded_is_caught:
        RenewalNotRecorded breaks [8], within 50;
    an_end_that_is_acknowledged_and_not_stored_is_caught:
        EndNotStored breaks [1, 2, 8], within 200;
    a_token_end_that_is_acknowledged_and_not_stored_is_caught:
        TokenEndNotStored breaks [2, 4], within 200;
    a_failed_issue_that_is_left_held_is_caught:
        FailedIssueLeftHeld breaks [2, 8], within 200;
    an_end_that_the_target_is_told_too_early_is_caught:
        EndToldTooEarly breaks [2], within 50;
    a_revocation_of_a_role_that_misses_the_newest_is_caught:
        PrefixMissesTheNewest breaks [2], within 100;
    a_lapsed_token_that_is_admitted_is_caught:
        LapsedTokenAdmitted breaks [4], within 100;
    a_secret_in_the_record_of_a_repetition_is_caught:
        SecretInTheRepeat breaks [3], within 50;
    an_abandonment_of_which_nothing_is_kept_is_caught:
        AbandonmentNotKept breaks [2], within 200;
    a_candidate_that_is_erased_while_it_may_land_is_caught:
        CandidateErased breaks [6], within 200;
    a_password_that_is_set_before_its_intent_is_stored_is_caught:
        StoredAfterTheRotation breaks [6], within 50;
    an_administrators_password_that_is_in_memory_alone_is_caught:
        KeptInMemoryAlone breaks [6], within 50;
    a_secret_that_is_served_before_it_is_tested_is_caught:
        ServedBeforeTested breaks [6], within 50;
    a_put_back_that_comes_late_and_lands_is_caught:
        LatePutBackLands breaks [1, 5], within 1000;
    a_put_back_of_which_nothing_is_stored_is_caught:
        PutBackNotStored breaks [6], within 50;
    a_second_restart_that_nobody_sees_is_caught:
        SecondRestartUnseen breaks [2], within 200;
    a_credential_that_is_put_back_with_another_secret_is_caught:
        PutBackLosesTheSecret breaks [3], within 50;
    one_queue_for_all_targets_is_caught:
        OneQueueForAll breaks [7], within 10;
}
