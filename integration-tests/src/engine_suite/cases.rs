//! The list of the suite's cases: the one place that names them.
//!
//! A case is a function of one site; to add one is to write it and to name it here. Then every engine has a test of
//! it at every place, and the table a row.

/// A case of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of its test.
    pub name: &'static str,
    /// What it shows, for the table.
    pub shows: &'static str,
}

/// Hands all cases, each with its module and what it shows, to another macro.
#[macro_export]
macro_rules! for_every_case {
    ($then:ident $with:tt) => {
        $crate::$then! { $with
            life::a_credential_lives_and_dies =
                "Issued, it logs in and works; renewed, it goes on; revoked, its open session is dead and a new login refused";
            life::what_is_not_there_is_revoked =
                "Revoking what never was, or a second time, is revoking";
            life::a_client_that_reconnects_is_cut_off =
                "A client that logs in again and again is out for good once it is revoked";
            life::sixty_four_at_once =
                "64 callers at once, in batches and alone";
            life::hostile_names_are_names =
                "Names made of quotes, comments, placeholders and emoji are names";
            life::a_late_issue_creates_nothing =
                "Past its time an issue creates nothing, and says so";
            life::an_unanswered_issue_is_not_counted_before_its_time =
                "While an unanswered issue may still land, its absence proves nothing";
            batches::an_expired_member_leaves_its_batch_alone =
                "A member whose time is up does not take the others' time";
            batches::a_poisoned_revocation_harms_nobody_else =
                "A batch with one poisoned member: it is told, the others are revoked";
            batches::what_exists_is_never_taken_over =
                "A name that is taken is an error, and its owner keeps it";
            stops::a_lost_answer_loses_nothing =
                "The connection breaks at each turn of issue, renewal and revocation: before the effect, and after it";
            stops::a_target_that_dies_leaves_nothing =
                "The target is killed in the middle of each step, and comes back";
            stops::a_target_that_is_suspended_leaves_nothing =
                "The target is suspended in the middle of each step, and does late what it was told";
            skew::a_clock_that_is_behind_changes_no_term =
                "The target's clock is five minutes behind ours";
            skew::a_clock_that_is_ahead_changes_no_term =
                "The target's clock is five minutes ahead of ours";
            listing::what_is_there_is_listed_as_it_is =
                "What is there is listed as it is: ours, what others altered of it, and nothing of theirs";
            listing::only_our_own_is_listed =
                "What another installation lent is neither listed nor removed";
            in_use::what_is_in_use_is_told =
                "Before a revocation: open sessions are counted until they are closed, and only what is the lease's is told of";
            proof::a_control_login_works_until_the_revocation =
                "Proof of death: the control login works until the revocation, and is refused after it";
            proof::only_what_is_the_leases_is_armed =
                "Proof of death: only a lease's own credential is armed, and nothing is made by it";
            rotation::an_account_has_the_secret_that_was_given_last =
                "Rotation: an account has the secret that it was given last, and in the end no other";
            rotation::an_account_is_never_made_and_never_altered_late =
                "Rotation: no account is made, and none is altered late";
        }
    };
}

/// Makes the list.
#[doc(hidden)]
#[macro_export]
macro_rules! list_of_cases {
    (() $($module:ident::$name:ident = $shows:literal;)*) => {
        /// Every case, in the order of the table.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($name), shows: $shows },)*];
    };
}

for_every_case!(list_of_cases());

/// Makes a test of every case at one place.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of_cases {
    (($place:expr) $($module:ident::$name:ident = $shows:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::engine_suite::$module::$name(&$place).await;
            }
        )*
    };
}

/// Makes a test of every case at every place of one engine, each place a module; and one that the table names the
/// same places.
#[macro_export]
macro_rules! engine_suite {
    ($column:expr; $($name:ident => $place:expr;)*) => {
        $(
            mod $name {
                use super::*;
                $crate::for_every_case!(tests_of_cases ($place));
            }
        )*

        #[test]
        fn the_table_names_every_place_that_the_suite_runs_at() {
            let named: Vec<_> = $column.places.iter().map(|(name, _)| *name).collect();
            assert_eq!(named, [$(stringify!($name)),*]);
        }
    };
}
