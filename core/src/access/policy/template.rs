//! Fills what is known of a caller into the paths of rules: `{{identity.entity.id}}` and its like.
//!
//! **Invariant:** what is filled in never changes what a path means. A value that is empty, or holds a character that
//! a path or a list gives a meaning to, is as good as none.

use std::collections::BTreeMap;

/// What is known of a caller, by the names that templates use: `identity.entity.id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts(BTreeMap<String, String>);

/// What is in a path between the texts that stay.
enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

impl FromIterator<(String, String)> for Facts {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(facts: I) -> Self {
        Self(facts.into_iter().collect())
    }
}

impl Facts {
    /// Reads facts by the names that templates use; refused with the reason if nothing is called so.
    pub fn named<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let checked = facts.into_iter().map(|(name, value)| {
            let fault = fault_of(&format!("{{{{{name}}}}}"));
            fault.map_or_else(|| Ok((name.to_owned(), value.to_owned())), Err)
        });
        checked.collect()
    }

    /// Returns the names in a path that nothing can be filled in for.
    pub(super) fn lacking<'a>(&self, path: &'a str) -> Vec<&'a str> {
        let names = parts(path).filter_map(|part| match part {
            Ok(Part::Name(name)) if self.fit(name).is_none() => Some(name),
            Ok(Part::Name(_) | Part::Text(_)) | Err(_) => None,
        });
        names.collect()
    }

    /// Returns a fact as it is.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns a fact that can stand in a path.
    fn fit(&self, name: &str) -> Option<&str> {
        let value = self.known(name)?;
        let plain = |char: char| !char.is_control() && !matches!(char, '/' | '*' | '+' | ',');
        (!value.is_empty() && value.chars().all(plain)).then_some(value)
    }

    /// Fills a path; `None` if one of its names stands for nothing that could be filled in.
    pub(super) fn fill(&self, path: &str) -> Option<String> {
        let mut filled = String::with_capacity(path.len());
        for part in parts(path) {
            match part.ok()? {
                Part::Text(text) => filled.push_str(text),
                Part::Name(name) => filled.push_str(self.fit(name)?),
            }
        }
        // Two values beside each other, or one beside a dot, are none of the segments that lead elsewhere.
        let leads = filled.split('/').any(|segment| matches!(segment, "." | ".."));
        (!leads).then_some(filled)
    }
}

/// Whether a path has anything to be filled in.
pub(super) fn is_template(path: &str) -> bool {
    path.contains("{{")
}

/// Says what is wrong with a path that is to be filled.
pub(super) fn fault_of(path: &str) -> Option<String> {
    parts(path).find_map(|part| match part {
        Err(fault) => Some(fault),
        Ok(Part::Name(name)) if !is_known(name) => Some(format!(
            "{name:?} is nothing that can be filled in; there is `identity.entity.id`, `identity.entity.name`, \
             `identity.entity.metadata.KEY`, `identity.entity.aliases.ACCESSOR.id`, `.name`, `.metadata.KEY` and \
             `.custom_metadata.KEY`, `identity.groups.ids.ID.name`, `identity.groups.names.NAME.id`, and `.metadata.KEY` of both"
        )),
        Ok(_) => None,
    })
}

/// Vault's names. The names of groups and the keys of metadata may hold dots.
fn is_known(name: &str) -> bool {
    let some = |rest: Option<&str>| rest.is_some_and(|rest| !rest.is_empty());
    if let Some(entity) = name.strip_prefix("identity.entity.") {
        if let Some((accessor, of)) =
            entity.strip_prefix("aliases.").and_then(|rest| rest.split_once('.'))
        {
            let keyed =
                of.strip_prefix("metadata.").or_else(|| of.strip_prefix("custom_metadata."));
            return !accessor.is_empty() && (matches!(of, "id" | "name") || some(keyed));
        }
        return matches!(entity, "id" | "name") || some(entity.strip_prefix("metadata."));
    }
    let ids = name.strip_prefix("identity.groups.ids.").map(|rest| (rest, ".name"));
    let names = name.strip_prefix("identity.groups.names.").map(|rest| (rest, ".id"));
    ids.or(names).is_some_and(|(rest, end)| {
        let keyed = rest.split_once(".metadata.");
        some(rest.strip_suffix(end))
            || keyed.is_some_and(|(of, key)| !of.is_empty() && !key.is_empty())
    })
}

/// Takes a path apart.
fn parts(path: &str) -> impl Iterator<Item = Result<Part<'_>, String>> {
    let mut rest = Some(path);
    let mut in_name = false;
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let sign = if in_name { "}}" } else { "{{" };
        let part = match text.split_once(sign) {
            Some((before, after)) => {
                rest = Some(after);
                before
            }
            None if in_name => return Some(Err("a `{{` is not closed by a `}}`".to_owned())),
            None => text,
        };
        let was_name = in_name;
        in_name = !in_name;
        Some(Ok(if was_name { Part::Name(part.trim()) } else { Part::Text(part) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(value: &str) -> Facts {
        [("identity.entity.name".to_owned(), value.to_owned())].into_iter().collect()
    }

    const PATH: &str = "secret/{{identity.entity.name}}/*";

    #[test]
    fn a_path_is_filled_with_what_is_known() {
        assert_eq!(facts("ann").fill(PATH).as_deref(), Some("secret/ann/*"));
        assert_eq!(
            facts("ann").fill("{{ identity.entity.name }}-{{identity.entity.name}}").as_deref(),
            Some("ann-ann")
        );
        assert_eq!(facts("ann").fill("plain").as_deref(), Some("plain"));
        assert_eq!(
            facts("{{identity.entity.name}}").fill(PATH).as_deref(),
            Some("secret/{{identity.entity.name}}/*")
        );
    }

    #[test]
    fn ghsa_59w7_v8rr_pr4p_a_value_never_widens_a_path() {
        for value in
            ["", "*", "a*", "+", "a/b", "/", "..", ".", "a,b", ",", "a\n", "a\0", "../x", "a/+/b"]
        {
            assert_eq!(facts(value).fill(PATH), None, "{value:?}");
        }
        assert_eq!(Facts::default().fill(PATH), None);
        assert_eq!(facts(".").fill("a/.{{identity.entity.name}}/b"), None);
    }

    #[test]
    fn a_template_is_one_of_vaults_or_a_fault() {
        for path in [
            PATH,
            "{{identity.entity.id}}",
            "{{identity.entity.metadata.a.b}}",
            "{{identity.entity.aliases.auth_userpass_1.name}}",
            "{{identity.entity.aliases.x.metadata.k}}",
            "{{identity.entity.aliases.x.custom_metadata.k}}",
            "{{identity.groups.ids.7f.name}}",
            "{{identity.groups.names.a.b.id}}",
            "{{identity.groups.names.a.metadata.k}}",
        ] {
            assert_eq!(fault_of(path), None, "{path}");
        }
        for path in [
            "{{",
            "a/{{identity.entity.id",
            "{{}}",
            "{{identity.entity}}",
            "{{entity.id}}",
            "{{identity.entity.metadata.}}",
            "{{identity.entity.aliases..id}}",
            "{{identity.groups.ids..name}}",
        ] {
            assert!(fault_of(path).is_some(), "{path}");
        }
    }
}
