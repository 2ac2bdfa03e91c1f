//! Sets the password of a user that an operator named, and finds out whether a password is the one it has.
//!
//! Nothing but the password is altered (law 9), of every host the user has, and by one message that comes too late if
//! it is held up: what was refused will not happen any more.

use super::config::Authentication;
use super::failure::Failure;
use super::held;
use super::link::{Link, text};
use super::statement::{Reach, Statement, Values, reach, statements};
use super::{MySql, flavor, look, native_hash, quote};
use crate::deadline::Deadline;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, EngineError, FieldError};
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout_at;

/// What a login must be denied with to prove that the password is another one.
const WRONG_PASSWORD: u16 = 1045;

/// What is denied to a login that has shown its password: the database.
const NO_DATABASE: [u16; 2] = [1044, 1049];

/// What a login to a locked account is denied with once it has shown its password: by MySQL, and by MariaDB.
const LOCKED: [u16; 2] = [3118, 4151];

/// Checks what an operator wrote of an account.
pub(super) fn check(account: &Account) -> Result<(), FieldError> {
    let field =
        if account.administers { "root_rotation_statements" } else { "rotation_statements" };
    let parsed = statements(field, &account.statements)?;
    if parsed.is_empty() || parsed.iter().any(Statement::sets_a_password) {
        return Ok(());
    }
    Err(FieldError(format!("`{field}` need the placeholder `{{{{password}}}}`")))
}

/// Gives a user the password that is intended for it.
pub(super) async fn rotate(
    target: &MySql,
    account: &Account,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Rotated, EngineError> {
    let Intent::Chosen { secret, .. } = intent else {
        let message = "what is intended for the account is not a password";
        return Err(EngineError::refused(Cause::NeedsOperator, message));
    };
    let password = password(secret)?;
    let parsed = statements("rotation_statements", &account.statements)
        .map_err(|FieldError(message)| EngineError::refused(Cause::Rejected, message))?;
    let deadline = Deadline::new(answer_by, target.links.now());
    if deadline.is_over() {
        return Err(Failure::Expired.refused());
    }
    let refused = |failure: Failure| failure.refused();
    let mut link = target.links.link(deadline.until).await.map_err(refused)?;
    let hash = native_hash(password.reveal());
    let hashed =
        target.authentication == Authentication::Hash && link.facts().flavor.takes_hashes();
    let identified = SecretText::new(if hashed {
        format!("PASSWORD {}", quote::literal(hash.reveal()))
    } else {
        quote::literal(password.reveal())
    });
    let own = if parsed.is_empty() {
        let accounts = accounts(&mut link, account, deadline).await?;
        let altered = accounts
            .iter()
            .map(|account| format!("{account} IDENTIFIED BY {}", identified.reveal()));
        vec![format!("ALTER USER {}", altered.collect::<Vec<_>>().join(", "))]
    } else {
        if reach(&parsed) > Reach::Own {
            link.forget();
        }
        let values = Values {
            name: &account.name,
            password: password.reveal(),
            identified: identified.reveal(),
            expiration: "",
        };
        parsed.iter().map(|statement| statement.render(&values)).collect()
    };
    // What arrives late must not replace a password that was set since.
    let mut message = vec![held::before(deadline.by, link.facts().skew)];
    message.extend(own);
    let said = link.run(&message, deadline).await;
    let Some(failure) = said.failure else { return Ok(Rotated::AsIntended) };
    let failure = failure.without([password.reveal(), hash.reveal()].into_iter());
    Err(match said.done {
        0 => held::Guard::Time.stopped(&failure),
        1 if failure.cause() == Cause::NeedsOperator && parsed.is_empty() => {
            let me = super::list::administrator(link.facts());
            let why = format!("{failure}. run: GRANT CREATE USER ON *.* TO {me}");
            EngineError::refused(Cause::NeedsOperator, why)
        }
        1 if failure.proves_nothing_was_created() => failure.refused(),
        _ => failure.of_part("the password may have been set"),
    })
}

/// Returns the accounts that are meant: those of every host, and of the administrator the one that we are.
async fn accounts(
    link: &mut Link,
    account: &Account,
    deadline: Deadline,
) -> Result<Vec<String>, EngineError> {
    if account.administers && account.name == link.facts().user() {
        return Ok(vec![super::list::administrator(link.facts())]);
    }
    let there = look::look(link, &[&account.name], deadline).await;
    let mut there = there.map_err(|failure| failure.refused())?;
    let Some(found) = there.remove(&account.name) else {
        let why = format!("there is no user `{}`, and none is made", account.name);
        return Err(EngineError::refused(Cause::NeedsOperator, why));
    };
    Ok(found.hosts.iter().map(|host| quote::account(&account.name, host)).collect())
}

/// Finds out whether a password is a user's.
pub(super) async fn tested(
    target: &MySql,
    account: &Account,
    secret: &AccountSecret,
    answer_by: Timestamp,
) -> Result<Tested, EngineError> {
    let password = password(secret)?;
    let deadline = Deadline::new(answer_by, target.links.now());
    let tested = match account.verify {
        Verify::Login => log_in(target, &account.name, &password, deadline).await,
        Verify::Catalog => look_up(target, &account.name, &password, deadline).await,
    };
    tested.map_err(|failure| failure.refused())
}

async fn log_in(
    target: &MySql,
    name: &str,
    password: &SecretText,
    deadline: Deadline,
) -> Result<Tested, Failure> {
    let options = target.links.options().clone().username(name).password(password.reveal());
    let error = match timeout_at(deadline.until, options.connect()).await {
        Err(_) => return Err(Failure::TimedOut),
        Ok(Ok(connection)) => {
            let _ = timeout_at(deadline.until, connection.close()).await;
            return Ok(Tested::Works);
        }
        Ok(Err(error)) => error,
    };
    match Failure::of(&error).number() {
        Some(WRONG_PASSWORD) => Ok(Tested::Denied),
        Some(number) if LOCKED.contains(&number) => Ok(Tested::Barred),
        Some(number) if NO_DATABASE.contains(&number) => Ok(Tested::Works),
        Some(_) | None => Err(Failure::undecided(name, &error)),
    }
}

/// Compares the hash of a password with what the server keeps of it.
async fn look_up(
    target: &MySql,
    name: &str,
    password: &SecretText,
    deadline: Deadline,
) -> Result<Tested, Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let family = link.facts().flavor.family;
    let by_login = || {
        Failure::Unreached(format!(
            "what the server keeps of the password of `{name}` is no hash that can be compared; write `verify=login`"
        ))
    };
    if family != flavor::Family::MariaDb {
        return Err(by_login());
    }
    let sql = format!(
        "SELECT JSON_VALUE(Priv, '$.authentication_string') AS kept FROM mysql.global_priv WHERE User = {}",
        quote::literal(name)
    );
    let rows = link.ask(&sql, deadline).await?;
    let own = native_hash(password.reveal());
    let mut tested = Tested::Denied;
    for row in &rows {
        let kept = text(row, "kept").unwrap_or_default();
        if !kept.is_empty() && !kept.starts_with('*') {
            return Err(by_login());
        }
        if !own.ct_eq(&SecretText::new(kept)) {
            return Ok(Tested::Denied);
        }
        tested = Tested::Works;
    }
    Ok(tested)
}

fn password(secret: &AccountSecret) -> Result<SecretText, EngineError> {
    let missing = || EngineError::refused(Cause::NeedsOperator, "the secret has no password in it");
    secret.part("password").ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_set_no_password_are_refused() {
        let account = |text: &str| Account {
            name: "app".into(),
            administers: false,
            statements: vec![text.to_owned()],
            verify: Verify::Login,
        };
        for text in [
            "ALTER USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'",
            "SET PASSWORD FOR {{username}} = PASSWORD('{{password}}')",
        ] {
            assert!(check(&account(text)).is_ok(), "{text}");
        }
        let refused = check(&account("ALTER USER '{{name}}' ACCOUNT LOCK")).unwrap_err();
        assert!(refused.0.contains("rotation_statements"), "{refused}");
    }
}
