//! What every engine has to do about accounts that operators made.

use super::{Login, PATIENCE, Site, Urandom, now};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::engine::Engine as _;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, EngineError};
use std::sync::Arc;

/// Returns an account that a static role names.
#[must_use]
pub fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        administers: false,
        statements: Vec::new(),
        verify: Verify::Login,
    }
}

/// Returns an intent to set a new password.
#[must_use]
pub fn intent() -> Intent {
    let password = PasswordPolicy::default().generate(&Urandom);
    Intent::chosen(AccountSecret::of_password(password), &Urandom)
}

/// Returns what is intended.
#[must_use]
pub fn intended(intent: &Intent) -> &AccountSecret {
    intent.secret().expect("it is chosen")
}

/// What an account has after a rotation, by whoever chose it.
struct Given {
    intent: Intent,
    drawn: Option<AccountSecret>,
}

impl Given {
    fn secret(&self) -> &AccountSecret {
        self.drawn.as_ref().unwrap_or_else(|| intended(&self.intent))
    }
}

async fn intends<S: Site>(site: &S, account: &Account) -> Intent {
    let intended = site.engine().intend(account, intent(), now().plus(PATIENCE)).await;
    intended.expect("it is intended")
}

async fn rotated<S: Site>(site: &S, account: &Account, intent: Intent) -> Given {
    let drawn = match site.engine().rotate(account, &intent, now().plus(PATIENCE)).await {
        Ok(Rotated::AsIntended) => None,
        Ok(Rotated::Given(drawn)) => Some(drawn),
        Err(error) => panic!("it is rotated: {error}"),
    };
    Given { intent, drawn }
}

async fn tested<S: Site>(site: &S, account: &Account, secret: &AccountSecret) -> Tested {
    let tested = site.engine().tested(account, secret, now().plus(PATIENCE)).await;
    tested.expect("it can be found out")
}

async fn drop_replaced<S: Site>(site: &S, account: &Account, given: &Given) {
    let answer_by = now().plus(PATIENCE);
    let engine = site.engine();
    let dropped = engine.drop_replaced(account, &given.intent, given.secret(), answer_by).await;
    assert_eq!(dropped, Ok(()));
}

/// Returns what the owner of an account logs in with.
fn login(name: &str, secret: &AccountSecret) -> Login {
    let part = |name: &str| secret.part(name).map(|part| part.reveal().to_owned());
    Login {
        username: part("access_key").unwrap_or_else(|| name.to_owned()),
        password: part("password").or_else(|| part("secret_key")).expect("it has one"),
    }
}

/// An account has the secret that it was given last, however often it was asked for, and in the end no other.
pub async fn an_account_has_the_secret_that_was_given_last<S: Site>(site: &Arc<S>) {
    let site = &**site;
    site.make_account("owned").await;
    let account = account("owned");
    let mut before: Option<Given> = None;
    for _ in 0..2 {
        let intent = intends(site, &account).await;
        if let Some(chosen) = intent.secret() {
            let tested = tested(site, &account, chosen).await;
            assert_eq!(tested, Tested::Denied, "nothing is altered by intending");
        }
        let begun = rotated(site, &account, intent).await;
        // As after a crash in which the answer was lost.
        let given = rotated(site, &account, begun.intent).await;
        assert_eq!(tested(site, &account, given.secret()).await, Tested::Works);
        for _ in 0..2 {
            drop_replaced(site, &account, &given).await;
        }
        assert_eq!(tested(site, &account, given.secret()).await, Tested::Works);
        let owner = login(&account.name, given.secret());
        site.log_in(&owner).await.map(drop).expect("its owner logs in");
        if let Some(before) = before.replace(given) {
            assert_eq!(tested(site, &account, before.secret()).await, Tested::Denied);
            let old = login(&account.name, before.secret());
            assert!(site.log_in(&old).await.is_err(), "the old one is worth nothing");
        }
    }
}

/// What is not there is not made, and what comes too late is not done.
pub async fn an_account_is_never_made_and_never_altered_late<S: Site>(site: &Arc<S>) {
    let site = &**site;
    let (engine, before) = (site.engine(), site.credentials().await);
    let absent = account("absent");
    let refused = match engine.intend(&absent, intent(), now().plus(PATIENCE)).await {
        Ok(intent) => engine.rotate(&absent, &intent, now().plus(PATIENCE)).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    assert_eq!(site.credentials().await, before);
    site.make_account("owned").await;
    let account = account("owned");
    let intent = intends(site, &account).await;
    let answer = engine.rotate(&account, &intent, now()).await;
    let Err(EngineError::Refused(reason)) = answer else { panic!("it was late: {answer:?}") };
    assert_eq!(reason.cause, Cause::TooLate);
    if let Some(chosen) = intent.secret() {
        assert_eq!(tested(site, &account, chosen).await, Tested::Denied);
    }
}
