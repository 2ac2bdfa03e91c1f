//! What every engine with passwords has to do about accounts that operators made.

use super::{Login, PATIENCE, Site, Urandom, now};
use leasehold_core::access::password::PasswordPolicy;
use leasehold_core::engine::Engine as _;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, EngineError};

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

async fn tested<S: Site>(site: &S, account: &Account, intent: &Intent) -> Tested {
    let answer_by = now().plus(PATIENCE);
    let tested = site.engine().tested(account, intended(intent), answer_by).await;
    tested.expect("it can be found out")
}

async fn rotated<S: Site>(site: &S, account: &Account, intent: &Intent) {
    let answer = site.engine().rotate(account, intent, now().plus(PATIENCE)).await;
    assert!(matches!(answer, Ok(Rotated::AsIntended)), "{answer:?}");
}

/// An account has the password that was intended last, however often it is asked for, and no other.
pub async fn an_account_has_the_password_that_was_intended<S: Site>(site: &S, name: &str) {
    site.plant(name).await;
    let account = account(name);
    let (first, second) = (intent(), intent());
    let engine = site.engine();
    let kept = engine.intend(&account, first, now().plus(PATIENCE)).await.expect("it is intended");
    assert_eq!(
        tested(site, &account, &kept).await,
        Tested::Denied,
        "nothing is altered by intending"
    );
    rotated(site, &account, &kept).await;
    assert_eq!(tested(site, &account, &kept).await, Tested::Works);
    for _ in 0..2 {
        rotated(site, &account, &second).await;
        assert_eq!(tested(site, &account, &second).await, Tested::Works);
        assert_eq!(tested(site, &account, &kept).await, Tested::Denied);
    }
    let login = |intent: &Intent| Login {
        username: name.to_owned(),
        password: intended(intent).part("password").expect("it has one").reveal().to_owned(),
    };
    site.log_in(&login(&second)).await.map(drop).expect("its owner logs in");
    assert!(site.log_in(&login(&kept)).await.is_err(), "the old one is worth nothing");
    let dropped =
        engine.drop_replaced(&account, &second, intended(&second), now().plus(PATIENCE)).await;
    assert_eq!(dropped, Ok(()));
    assert_eq!(tested(site, &account, &second).await, Tested::Works);
}

/// What is not there is not made, and what comes too late is not done.
pub async fn an_account_is_never_made_and_never_altered_late<S: Site>(site: &S, name: &str) {
    let before = site.credentials().await;
    let (absent, intent) = (account(&format!("{name}-absent")), intent());
    let answer = site.engine().rotate(&absent, &intent, now().plus(PATIENCE)).await;
    assert!(matches!(answer, Err(EngineError::Refused(_))), "{answer:?}");
    assert_eq!(site.credentials().await, before);
    site.plant(name).await;
    let answer = site.engine().rotate(&account(name), &intent, now()).await;
    let Err(EngineError::Refused(reason)) = answer else { panic!("it was late: {answer:?}") };
    assert_eq!(reason.cause, Cause::TooLate);
    assert_eq!(tested(site, &account(name), &intent).await, Tested::Denied);
}
