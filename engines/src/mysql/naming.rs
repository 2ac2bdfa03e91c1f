//! How credentials are called, and whose a name says they are.
//!
//! A name of MariaDB ends in a tag of its installation and target, and holds the whole id of its lease, because
//! nothing else at the server could say whose it is. On MySQL a name has 32 characters, and the mark is elsewhere.
//! As long as a server was never reached nobody knows which of the two it is: the name is the id and the tag then,
//! which is right on both.

use super::flavor::{Family, Flavor};
use aws_lc_rs::digest;
use leasehold_core::chance::Chance;
use leasehold_core::engine::naming::{Naming, Template, TemplateError, with_lease_bits};
use leasehold_core::engine::{Origin, PrepareError};
use leasehold_core::ids::LeaseId;

/// The most characters in a name on MariaDB.
pub(super) const LONG_CHARS_MAX: usize = 80;

/// The most characters in a name on MySQL.
pub(super) const SHORT_CHARS_MAX: usize = 32;

/// How credentials are called on MariaDB before the id and the tag.
const LONG: &str =
    "{{ printf \"v-%s-%s\" (.DisplayName | truncate 10) (.RoleName | truncate 10) }}";

/// How credentials are called on MySQL: what 32 characters have room for beside the id.
const SHORT: &str = "{{ printf \"%s-%s\" (.RoleName | truncate 5) .LeaseID }}";

/// As long as the tag is: 25 bits. It tells installations apart that share a server, not attackers.
const TAG_CHARS: usize = 5;

/// Crockford's base32 in lower case, as ids are written.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How credentials are called at one target.
#[derive(Clone, Debug)]
pub(super) struct Names {
    own: Option<Template>,
    long: Template,
    short: Template,
    pub(super) tag: String,
}

impl Names {
    pub(super) fn new(own: Option<Template>, origin: &Origin) -> Result<Self, TemplateError> {
        let (long, short) = (Template::parse(LONG)?, Template::parse(SHORT)?);
        Ok(Self { own, long, short, tag: tag(origin) })
    }

    /// Names a credential for a server, as far as it is known.
    pub(super) fn name(
        &self,
        naming: &Naming<'_>,
        chance: &dyn Chance,
        flavor: Option<Flavor>,
    ) -> Result<String, PrepareError> {
        let render = |template: &Template| template.render(naming, chance);
        let family = flavor.map(|flavor| flavor.family);
        let name = match (&self.own, family) {
            (Some(own), Some(Family::MySql)) => with_lease_bits(render(own), naming.lease),
            (None, Some(Family::MySql)) => render(&self.short),
            (Some(own), Some(Family::MariaDb) | None) => self.tagged(&render(own), naming.lease),
            (None, Some(Family::MariaDb)) => self.tagged(&render(&self.long), naming.lease),
            (None, None) => format!("{}-{}", naming.lease, self.tag),
        };
        // The server keeps names in three bytes a character.
        let name = name.replace(|char: char| char.len_utf8() > 3, "_");
        check(name, flavor.map_or(LONG_CHARS_MAX, Flavor::name_chars_max))
    }

    /// Returns the name with the whole id of the lease in it, and the tag at its end.
    fn tagged(&self, name: &str, lease: LeaseId) -> String {
        let tagged = format!("{name}-{}", self.tag);
        if self.lease_in(&tagged) == Some(lease) {
            return tagged;
        }
        format!("{name}-{lease}-{}", self.tag)
    }

    /// Returns the lease that a name names, if it bears this target's tag.
    pub(super) fn lease_in(&self, name: &str) -> Option<LeaseId> {
        let (rest, tag) = name.rsplit_once('-')?;
        if tag != self.tag {
            return None;
        }
        rest.rsplit(|char: char| !char.is_ascii_alphanumeric()).find_map(|part| part.parse().ok())
    }

    /// Tells whether a name of a lease bears the tag of another target: it holds the whole id and ends in
    /// something else of the tag's kind.
    pub(super) fn is_anothers(&self, name: &str, lease: LeaseId) -> bool {
        let Some((rest, tag)) = name.rsplit_once('-') else { return false };
        let is_tag = tag.len() == TAG_CHARS && tag.bytes().all(|byte| ALPHABET.contains(&byte));
        is_tag && tag != self.tag && rest.contains(&lease.to_string())
    }
}

fn tag(origin: &Origin) -> String {
    let text = format!("leasehold:{}:{}", origin.installation, origin.target);
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let digit = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0');
    hash.as_ref().iter().take(TAG_CHARS).map(|byte| char::from(digit(byte))).collect()
}

fn check(name: String, chars_max: usize) -> Result<String, PrepareError> {
    let chars = name.chars().count();
    if chars > chars_max {
        return Err(PrepareError::NameTooLong { name, bytes: chars, bytes_max: chars_max });
    }
    // In a log it would be more than one line.
    if name.chars().any(char::is_control) {
        return Err(PrepareError::Role(
            "the name has a control character in it; change `username_template`, or rename the role"
                .to_owned(),
        ));
    }
    Ok(name)
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

    fn names(own: Option<&str>) -> Names {
        let origin = Origin {
            installation: InstallationId::from_bytes([1; 16]),
            target: TargetId::from_bytes([2; 16]),
        };
        Names::new(own.map(|text| Template::parse(text).unwrap()), &origin).unwrap()
    }

    fn named(own: Option<&str>, flavor: Option<Flavor>) -> Result<String, PrepareError> {
        let lease = LeaseId::from_bytes([9; 16]);
        let naming =
            Naming {
                lease, display_name: "token-of-ann", role_name: "read😀", now: Timestamp(0)
            };
        names(own).name(&naming, &Sevens, flavor)
    }

    #[test]
    fn a_name_tells_the_lease_and_on_mariadb_whose_it_is() {
        let (mariadb, mysql) = (Flavor::of("10.11.1-MariaDB", ""), Flavor::of("8.0.36", ""));
        let lease = LeaseId::from_bytes([9; 16]);
        let (names, tag) = (names(None), names(None).tag);
        assert_eq!(
            named(None, Some(mariadb)).unwrap(),
            format!("v-token-of-a-read_-{lease}-{tag}")
        );
        assert_eq!(named(None, Some(mysql)).unwrap(), format!("read-{lease}"));
        let unknown = named(None, None).unwrap();
        assert_eq!(
            (unknown.as_str(), unknown.len()),
            (format!("{lease}-{tag}").as_str(), SHORT_CHARS_MAX)
        );
        assert_eq!(
            named(Some("x-{{.LeaseID}}-y"), Some(mariadb)).unwrap(),
            format!("x-{lease}-y-{tag}")
        );
        assert_eq!(
            named(Some("x{{.LeaseID}}"), Some(mariadb)).unwrap(),
            format!("x{lease}-{lease}-{tag}")
        );
        assert_eq!(named(Some("x"), Some(mysql)).unwrap(), format!("x-{}", lease.bits()));
        for own in [None, Some("x-{{.LeaseID}}-y"), Some("x{{.LeaseID}}")] {
            assert_eq!(names.lease_in(&named(own, Some(mariadb)).unwrap()), Some(lease));
        }
        // What looks like another lease's id would be taken for it, so ours is put after it.
        let other = LeaseId::from_bytes([8; 16]);
        let own = format!("{other}-x");
        let held = named(Some(&own), Some(mariadb)).unwrap();
        assert_eq!(held, format!("{other}-x-{lease}-{tag}"));
        assert_eq!(names.lease_in(&held), Some(lease));
    }

    #[test]
    fn a_foreign_tag_is_known_as_one() {
        let lease = LeaseId::from_bytes([9; 16]);
        let names = names(None);
        assert!(names.is_anothers(&format!("v-a-{lease}-0a0a0"), lease));
        assert_eq!(names.lease_in(&format!("v-a-{lease}-0a0a0")), None);
        assert!(!names.is_anothers(&named(None, None).unwrap(), lease));
        assert!(!names.is_anothers(&format!("read-{lease}"), lease));
    }

    #[test]
    fn what_no_server_takes_is_refused_before() {
        let mysql = Flavor::of("8.0.36", "");
        let long = named(Some("{{.LeaseID}}-xx{{.RoleName}}"), Some(mysql));
        assert!(
            matches!(long, Err(PrepareError::NameTooLong { bytes: 34, bytes_max: 32, .. })),
            "{long:?}"
        );
        assert!(matches!(named(Some("a\u{7}"), Some(mysql)), Err(PrepareError::Role(_))));
    }
}
