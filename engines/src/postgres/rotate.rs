//! Sets the password of a role that an operator named, and finds out whether a password is the one it has.
//!
//! Nothing but the password is altered (law 9), and by one message that comes too late if it is held up: what was
//! refused will not happen any more.

use super::config::Authentication;
use super::failure::Failure;
use super::message::{self, Deadline};
use super::role::ITERATIONS_DEFAULT;
use super::statement::{Reach, Statement, Values, statements};
use super::{Postgres, link, quote, scram};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::engine::rotation::{Account, AccountSecret, Intent, Rotated, Tested, Verify};
use leasehold_core::engine::{Cause, EngineError, FieldError};
use leasehold_core::secret::SecretText;
use leasehold_core::time::Timestamp;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::{ConnectOptions as _, Connection as _};
use std::num::NonZeroU32;
use tokio::time::timeout_at;

/// What a login must be denied with to prove that the password is another one.
const WRONG_PASSWORD: &str = "28P01";

/// What is denied to who is not allowed to do it: to alter a role; and to a login that has shown its password and may
/// not use the database.
const NOT_ALLOWED: &str = "42501";

/// What a role is denied with that may not log in, and what `pg_hba.conf` denies whoever it likes with: the two are told
/// apart by where in the server that is decided, which no setting translates.
const NO_LOGIN: &str = "28000";

/// Where the server looks whether a role may log in, after it has shown its password.
const AFTER_THE_PASSWORD: &str = "InitializeSessionUserId";

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

/// Gives a role the password that is intended for it.
pub(super) async fn rotate(
    target: &Postgres,
    account: &Account,
    intent: &Intent,
    answer_by: Timestamp,
) -> Result<Rotated, EngineError> {
    let (password, told) = told(target, intent)?;
    let values = Values { name: &account.name, password: told.reveal(), expiration: "infinity" };
    let statements = statements("rotation_statements", &account.statements)
        .map_err(|FieldError(message)| EngineError::refused(Cause::Rejected, message))?;
    let reach = statements.iter().map(Statement::reach).max();
    let sql = if statements.is_empty() {
        let (name, told) = (quote::identifier(&account.name), quote::literal(told.reveal()));
        format!("ALTER ROLE {name} PASSWORD {told}")
    } else {
        let rendered = statements.iter().map(|statement| statement.render(&values));
        rendered.collect::<Vec<_>>().join("; ")
    };
    let said = say(target, sql, reach.unwrap_or(Reach::Own), answer_by).await;
    let failure = match said {
        Ok(()) => return Ok(Rotated::AsIntended),
        Err(failure) => failure.without([password.reveal(), told.reveal()].into_iter()),
    };
    if let Some(remedy) = remedy(target, account, &failure) {
        return Err(EngineError::refused(
            Cause::NeedsOperator,
            format!("{failure}. run: {remedy}"),
        ));
    }
    Err(if reach == Some(Reach::Transactions) && failure.leaves_the_connection() {
        failure.of_part("the rotation statements were stopped half-way")
    } else {
        failure.of_issue()
    })
}

/// Returns the password that is intended, and what the server is told of it.
pub(super) fn told(
    target: &Postgres,
    intent: &Intent,
) -> Result<(SecretText, SecretText), EngineError> {
    let Intent::Chosen { secret, salt } = intent else {
        let message = "what is intended for the account is not a password";
        return Err(EngineError::refused(Cause::NeedsOperator, message));
    };
    let password = password(secret)?;
    let told = match target.authentication {
        Authentication::ScramSha256 => {
            let salt =
                salt.first_chunk::<{ scram::SALT_BYTES }>().unwrap_or(&[0; scram::SALT_BYTES]);
            let iterations = NonZeroU32::new(ITERATIONS_DEFAULT).unwrap_or(NonZeroU32::MIN);
            scram::verifier(&password, salt, iterations)
        }
        Authentication::Password => SecretText::new(password.reveal().to_owned()),
    };
    Ok((password, told))
}

/// Returns the statement that lets the administrator alter a role; from version 16 on it needs ADMIN on it.
fn remedy(target: &Postgres, account: &Account, failure: &Failure) -> Option<String> {
    let facts = target.links.facts().filter(|facts| facts.joins_what_it_creates())?;
    let is_denied = failure.code() == NOT_ALLOWED && account.statements.is_empty();
    is_denied.then(|| {
        let (name, administrator) =
            (quote::identifier(&account.name), quote::identifier(&facts.administrator));
        format!("GRANT {name} TO {administrator} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    })
}

async fn say(
    target: &Postgres,
    sql: String,
    reach: Reach,
    answer_by: Timestamp,
) -> Result<(), Failure> {
    let deadline = Deadline::new(answer_by, target.links.now());
    if deadline.is_over() {
        return Err(Failure::Expired);
    }
    let mut link = target.links.link(deadline.until).await?;
    if reach > Reach::Shared {
        link.forget();
    }
    if deadline.is_over() {
        return Err(Failure::Expired);
    }
    let (limits, check) = (deadline.limits(message::LOCK_WAIT), deadline.check(link.facts().skew));
    let sql = match reach {
        // These may commit in between, so the look at the time comes first.
        Reach::Transactions => format!("{check}; {limits}{sql}"),
        Reach::Own | Reach::Shared | Reach::Session => format!("{limits}{sql}; {check}"),
    };
    link.say(sql, deadline.until).await.map(|_| ())
}

/// Finds out whether a password is a role's.
pub(super) async fn tested(
    target: &Postgres,
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
    tested.map_err(|failure| EngineError::refused(failure.cause(), failure.to_string()))
}

async fn log_in(
    target: &Postgres,
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
    let denied = error.as_database_error();
    let by = denied.and_then(|denied| denied.try_downcast_ref::<PgDatabaseError>()?.routine());
    match denied.and_then(DatabaseError::code).as_deref() {
        Some(WRONG_PASSWORD) => Ok(Tested::Denied),
        Some(NOT_ALLOWED) => Ok(Tested::Works),
        Some(NO_LOGIN) if by == Some(AFTER_THE_PASSWORD) => Ok(Tested::Barred),
        Some(_) | None => Err(Failure::undecided(name, &error)),
    }
}

/// Compares a password with what the server keeps of it, which only a superuser may read.
async fn look_up(
    target: &Postgres,
    name: &str,
    password: &SecretText,
    deadline: Deadline,
) -> Result<Tested, Failure> {
    let mut link = target.links.link(deadline.until).await?;
    let sql = format!(
        "{}SELECT rolpassword AS kept FROM pg_catalog.pg_authid WHERE rolname = {}",
        deadline.limits(message::LOCK_WAIT),
        quote::literal(name)
    );
    let rows = link.say(sql, deadline.until).await?;
    let kept = rows.first().and_then(|row| link::text(row, "kept"));
    let Some(kept) = kept else { return Ok(Tested::Denied) };
    let made = verified(&kept, password).ok_or_else(|| {
        Failure::Unreached(format!(
            "what the server keeps of the password of `{name}` is no SCRAM-SHA-256 verifier; write `verify=login`"
        ))
    })?;
    Ok(if made.ct_eq(&SecretText::new(kept)) { Tested::Works } else { Tested::Denied })
}

/// Makes the verifier of a password with the salt and the iterations of another one.
fn verified(kept: &str, password: &SecretText) -> Option<SecretText> {
    let parameters = kept.strip_prefix("SCRAM-SHA-256$")?.split('$').next()?;
    let (iterations, salt) = parameters.split_once(':')?;
    let salt = STANDARD.decode(salt).ok()?;
    Some(scram::verifier(password, &salt, iterations.parse().ok()?))
}

fn password(secret: &AccountSecret) -> Result<SecretText, EngineError> {
    let missing = || EngineError::refused(Cause::NeedsOperator, "the secret has no password in it");
    secret.part("password").ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(statements: &[&str]) -> Account {
        Account {
            name: "app".into(),
            administers: false,
            statements: statements.iter().map(|&text| text.to_owned()).collect(),
            verify: Verify::Login,
        }
    }

    #[test]
    fn statements_that_set_no_password_are_refused() {
        assert!(check(&account(&[])).is_ok());
        assert!(
            check(&account(&["ALTER USER \"{{name}}\" WITH PASSWORD '{{password}}';"])).is_ok()
        );
        assert!(
            check(&account(&["ALTER USER {{username}} PASSWORD {{password}}", "SELECT 1"])).is_ok()
        );
        for statement in
            ["ALTER USER app NOLOGIN", "ALTER USER \"{{nme}}\" PASSWORD '{{password}}'"]
        {
            let refused = check(&account(&[statement])).unwrap_err();
            assert!(refused.0.contains("rotation_statements"), "{refused}");
        }
    }

    #[test]
    fn a_verifier_tells_its_own_password_from_another() {
        let text = |text: &str| SecretText::new(text.to_owned());
        let kept = scram::verifier(&text("right"), b"salt", NonZeroU32::new(7).unwrap());
        assert!(verified(kept.reveal(), &text("right")).unwrap().ct_eq(&kept));
        assert!(!verified(kept.reveal(), &text("wrong")).unwrap().ct_eq(&kept));
        assert!(verified("md5a3556571e93b0d20722ba62be61e8c2d", &text("right")).is_none());
    }
}
