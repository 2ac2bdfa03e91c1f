//! What credentials are in use for: what they defined, and whether the administrator sees it.

use crate::place::{ADMINISTRATOR, Place, place, place_without_root, role};
use leasehold_core::engine::in_use::{InUse, Owned};
use leasehold_core::engine::{Engine as _, Issue};
use leasehold_engines::mysql::MySql;
use leasehold_integration_tests::engine_suite::in_use::looked_at;
use leasehold_integration_tests::engine_suite::{Opening, PATIENCE, Site as _, now, revocation};
use serde_json::json;

async fn seen(place: &Place, issue: &Issue<MySql>) -> InUse {
    looked_at(place, &[issue]).await.remove(0).expect("it is told")
}

/// Defines one thing of each kind in the name of a user, as that user could.
async fn define(place: &Place, name: &str) {
    let definer = format!("DEFINER = '{name}'@'%'");
    for sql in [
        format!("CREATE {definer} VIEW app.`v'; --` AS SELECT 1 AS one"),
        format!("CREATE {definer} PROCEDURE app.p() SELECT 1"),
        format!("CREATE {definer} FUNCTION app.f() RETURNS INT RETURN 1"),
        format!(
            "CREATE {definer} TRIGGER app.t BEFORE INSERT ON app.books FOR EACH ROW SET @a = 1"
        ),
        format!("CREATE {definer} EVENT app.e ON SCHEDULE EVERY 1 YEAR DO SET @a = 1"),
    ] {
        place.run(&sql).await;
    }
}

fn all() -> Vec<Owned> {
    let of = |(kind, name): (&str, &str)| Owned {
        kind: kind.to_owned(),
        within: Some("app".to_owned()),
        count: 1,
        names: vec![name.to_owned()],
    };
    let all = [("event", "e"), ("function", "f"), ("procedure", "p"), ("trigger", "t")];
    all.map(of).into_iter().chain([of(("view", "v'; --"))]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_in_the_name_of_a_credential_is_told_by_kind_and_name() {
    let place = place().await;
    let role = role(&json!({
        "creation_statements": "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; \
            CREATE USER '{{name}}'@'10.0.0.1' IDENTIFIED BY '{{password}}'",
    }));
    let (issue, login) = place.issue_by(&role).await;
    login.expect("it is issued");
    let (other, _) = place.issue_by(&role).await;
    define(&place, issue.handle.name()).await;
    let near =
        format!("CREATE DEFINER = '{}'@'10.0.0.1' VIEW app.w AS SELECT 1", issue.handle.name());
    place.run(&near).await;
    let in_use = seen(&place, &issue).await;
    assert_eq!((in_use.is_there, in_use.sessions, in_use.unseen), (Some(true), Some(0), vec![]));
    let mut expected = all();
    let views = expected.last_mut().expect("views are the last");
    views.count = 2;
    views.names.push("w".to_owned());
    assert_eq!(in_use.owned, Some(expected));
    assert_eq!(seen(&place, &other).await.owned, Some(Vec::new()), "the others' is theirs");
    let answers = place.engine.revoke(&[revocation(&issue), revocation(&other)]).await;
    assert_eq!(answers, [Ok(()), Ok(())]);
    let nothing = seen(&place, &issue).await;
    assert_eq!((nothing.is_there, nothing.owned), (Some(false), Some(Vec::new())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_who_does_not_see_all_is_told_what_to_run() {
    let place = place_without_root().await;
    let (issue, login) = place.issue_by(&place.role).await;
    let login = login.expect("it is issued");
    define(&place, issue.handle.name()).await;
    let session = place.log_in(&login).await.expect("it logs in");
    let in_use = seen(&place, &issue).await;
    assert_eq!(in_use.sessions, Some(1), "who may end sessions sees them");
    let [why] = in_use.unseen.as_slice() else { panic!("{in_use:?}") };
    let (_, statement) = why.split_once("run `").expect("it says what to run");
    let statement = statement.trim_end_matches('`');
    assert!(statement.ends_with(&format!("'{}'@'%'", ADMINISTRATOR.replace('\'', "\\'"))), "{why}");
    place.run(statement).await;
    drop(session);
    // What is granted counts from the next connection on.
    let again = place.opened_again(&Opening::of(&*place));
    let asked = [(issue.lease, issue.handle.clone())];
    let in_use = again.in_use(&asked, now().plus(PATIENCE)).await.remove(0).expect("it is told");
    assert_eq!((in_use.owned, in_use.unseen), (Some(all()), Vec::new()));
}
