//! How users and sessions are called, each with the bits of its lease.

use super::Handle;
use super::role::{CredentialType, Role};
use leasehold_core::chance::Chance;
use leasehold_core::engine::PrepareError;
use leasehold_core::engine::naming::{Naming, Template, with_lease_bits};

/// The longest name that IAM takes, and STS for a session of a role.
const NAME_CHARS_MAX: usize = 64;

/// Names what a role lends. What AWS takes only 32 characters for is called by its lease alone.
pub(super) fn handle(
    template: &Template,
    role: &Role,
    naming: &Naming<'_>,
    chance: &dyn Chance,
) -> Result<Handle, PrepareError> {
    let by_lease = || format!("vault-{}", naming.lease);
    let chosen = role.chosen();
    match role.credential_type() {
        CredentialType::IamUser => {
            Ok(Handle::IamUser { name: fitting(&template.render(naming, chance), naming)? })
        }
        CredentialType::AssumedRole => {
            let rendered = match chosen.session_name.as_str() {
                "" => template.render(naming, chance),
                asked => asked.to_owned(),
            };
            let name = fitting(&rendered, naming);
            let name = if chosen.session_name.is_empty() { name } else { name.map_err(as_asked) };
            let role_arn = chosen.role_arn.clone();
            Ok(Handle::AssumedRole { name: name?, role_arn, denied_by: role.denied_by() })
        }
        CredentialType::FederationToken => Ok(Handle::FederationToken { name: by_lease() }),
        CredentialType::SessionToken => Ok(Handle::SessionToken { name: by_lease() }),
    }
}

fn fitting(rendered: &str, naming: &Naming<'_>) -> Result<String, PrepareError> {
    let name = with_lease_bits(rendered.chars().map(plain).collect(), naming.lease);
    if name.len() > NAME_CHARS_MAX {
        let bytes = name.len();
        return Err(PrepareError::NameTooLong { name, bytes, bytes_max: NAME_CHARS_MAX });
    }
    Ok(name)
}

/// Says it to whoever chose the name.
fn as_asked(error: PrepareError) -> PrepareError {
    match error {
        PrepareError::NameTooLong { bytes_max, name, .. } => PrepareError::Role(format!(
            "with the bits of its lease the session would be called `{name}`, and AWS takes {bytes_max} characters; \
             ask with a shorter `role_session_name`"
        )),
        error @ PrepareError::Role(_) => error,
    }
}

/// Returns what a session says of its caller, for which AWS takes 2 to 64 characters.
pub(super) fn of_caller(naming: &Naming<'_>) -> String {
    let caller: String = naming.display_name.chars().map(plain).take(NAME_CHARS_MAX).collect();
    if caller.len() < 2 { format!("_{caller}_") } else { caller }
}

/// Names at AWS are of letters, digits and a few signs; whatever else callers and roles are called becomes `_`.
fn plain(char: char) -> char {
    if char.is_ascii_alphanumeric() || "+=,.@_-".contains(char) { char } else { '_' }
}
