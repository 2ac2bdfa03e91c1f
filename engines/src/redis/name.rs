//! How credentials are called, and how a name says whose it is: a Redis user has no room for a comment.

use super::hex;
use aws_lc_rs::digest;
use leasehold_core::chance::Chance;
use leasehold_core::engine::naming::{Naming, Template};
use leasehold_core::engine::{Cause, EngineError, Origin, PrepareError};
use leasehold_core::ids::{ID_CHARS, LeaseId};

/// What a name begins with where no template was given: Vault's shape for this kind of target.
pub(super) const TEMPLATE: &str = "{{ printf \"V_%s_%s\" (.DisplayName | truncate 32 | uppercase) \
                                   (.RoleName | truncate 32 | uppercase) }}";

/// The server takes far longer names, but every line of its log and its file has them.
const NAME_BYTES_MAX: usize = 256;

/// Says in a name for whom it was made and where: 64 bits of a hash of installation and target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of(origin: &Origin) -> Self {
        let mut whole = origin.installation.bytes().to_vec();
        whole.extend(origin.target.bytes());
        let hash = digest::digest(&digest::SHA256, &whole);
        Self(hex(hash.as_ref().get(..8).unwrap_or_default()).to_uppercase())
    }

    /// Names a credential: what the template makes of it, the whole id of its lease, and this tag.
    pub(super) fn name(
        &self,
        template: &Template,
        naming: &Naming<'_>,
        chance: &dyn Chance,
    ) -> Result<String, PrepareError> {
        let begins: String = template.render(naming, chance).chars().map(harmless).collect();
        let lease = naming.lease.to_string().to_uppercase();
        let name = format!("{begins}_{lease}_{}", self.0);
        if name.len() > NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(PrepareError::NameTooLong { name, bytes, bytes_max: NAME_BYTES_MAX });
        }
        Ok(name)
    }

    /// Returns the lease that a name names, if it was made here for this target.
    pub(super) fn lease(&self, name: &str) -> Option<LeaseId> {
        let rest = name.strip_suffix(&self.0)?.strip_suffix('_')?;
        let from = rest.len().checked_sub(ID_CHARS)?;
        rest.get(from..)?.to_ascii_lowercase().parse().ok()
    }

    /// Refuses whatever the name does not say to be of this lease, at this target (law 9).
    pub(super) fn check(&self, name: &str, lease: LeaseId) -> Result<(), EngineError> {
        if self.lease(name) == Some(lease) {
            return Ok(());
        }
        Err(EngineError::refused(
            Cause::NeedsOperator,
            format!(
                "the user `{name}` does not bear the mark of lease `{lease}`, so nothing is done to it"
            ),
        ))
    }
}

/// A user stands on a line of a file, where a space ends its name and a quote would keep the server from starting.
fn harmless(char: char) -> char {
    if char.is_ascii_alphanumeric() || "-_.:@".contains(char) { char } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::ids::{InstallationId, TargetId};
    use leasehold_core::time::Timestamp;

    #[derive(Debug)]
    struct Sevens;

    impl Chance for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn origin(target: u64) -> Origin {
        Origin {
            installation: InstallationId::new(Timestamp(1), &Sevens),
            target: TargetId::new(Timestamp(target), &Sevens),
        }
    }

    #[test]
    fn a_name_tells_its_lease_to_its_own_target_only() {
        let (own, other) = (Tag::of(&origin(1)), Tag::of(&origin(2)));
        let lease = LeaseId::new(Timestamp(5), &Sevens);
        let naming =
            Naming { lease, display_name: "é\" \n'x", role_name: "app", now: Timestamp(5) };
        let template = Template::parse(TEMPLATE).unwrap();
        let name = own.name(&template, &naming, &Sevens).unwrap();
        assert!(name.starts_with("V______X_APP_"), "{name}");
        assert_eq!(own.lease(&name), Some(lease));
        assert_eq!(other.lease(&name), None);
        assert!(own.check(&name, LeaseId::new(Timestamp(6), &Sevens)).is_err());
        for foreign in ["", "default", "_", name.trim_end_matches(char::is_alphanumeric), "V_A_B"] {
            assert_eq!(own.lease(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_before_anything_is_stored() {
        let naming = Naming {
            lease: LeaseId::new(Timestamp(5), &Sevens),
            display_name: &"x".repeat(300),
            role_name: "r",
            now: Timestamp(5),
        };
        let template = Template::parse("{{.DisplayName}}").unwrap();
        let refused = Tag::of(&origin(1)).name(&template, &naming, &Sevens);
        assert!(matches!(refused, Err(PrepareError::NameTooLong { .. })), "{refused:?}");
    }
}
