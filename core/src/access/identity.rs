//! Who is behind tokens: entities, the aliases that they log in by, and the groups they are in.
//!
//! An entity is a person or a workload. It is found by where somebody logs in and under which name: that is an alias.
//! What it may do is what its policies and those of its groups say, at each request anew; what a token carries of its
//! own comes on top.

use super::login::plain_name;
use super::policy::{Facts, PolicyName};
use crate::ids::{AliasId, EntityId, GroupId, MountId};
use crate::limits::{
    ALIAS_NAME_MAX, IDENTITY_NAME_MAX, METADATA_KEY_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_MAX,
    POLICIES_MAX,
};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What people note on things.
pub type Metadata = BTreeMap<String, String>;

/// A person or a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Names it for ever.
    pub id: EntityId,
    /// What people call it, as it was written.
    pub name: String,
    /// What is noted on it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// What it may do besides what its tokens may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// None of its tokens is good while this is so.
    #[serde(default)]
    pub disabled: bool,
    /// What it logs in by: one for each method at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Those that were merged into it: their tokens are its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<EntityId>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// A name under which a method knows an entity or a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Names it for ever.
    pub id: AliasId,
    /// The method.
    pub mount: MountId,
    /// What names that to Vault's clients, and to templates.
    pub mount_accessor: String,
    /// The name, written in the one way of its method.
    pub name: String,
    /// What the last login by it told of itself, as its method has it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// What people have noted on it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub custom_metadata: Metadata,
    /// Whose it was before they were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<EntityId>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Entities, and other groups, that may do the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Names it for ever.
    pub id: GroupId,
    /// What people call it, as it was written.
    pub name: String,
    /// Who says who is in it.
    pub kind: GroupKind,
    /// What is noted on it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// What its members may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// How often it was written.
    pub version: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// Who says who is in a group; Vault's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// Whoever writes it.
    Internal,
    /// A method, at each login.
    External {
        /// What the method calls it; none while no method knows it.
        alias: Option<Alias>,
    },
}

/// An entity, with all groups that it is in and what they come to.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The entity.
    pub entity: Entity,
    /// The groups that it is a member of.
    pub direct: Vec<Group>,
    /// The groups that these are in, and so on.
    pub inherited: Vec<Group>,
    /// What it may do: its own policies, then those of its groups; each once, and never `root`.
    pub policies: Vec<String>,
    /// What templates know of it.
    pub facts: Facts,
}

/// An entity, an alias or a group like this cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIdentity(pub String);

impl GroupKind {
    /// Returns Vault's word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External { .. } => "external",
        }
    }
}

impl Group {
    /// Returns what a method calls it.
    #[must_use]
    pub fn alias(&self) -> Option<&Alias> {
        match &self.kind {
            GroupKind::Internal => None,
            GroupKind::External { alias } => alias.as_ref(),
        }
    }
}

impl Identity {
    /// Adds up what an entity and its groups come to.
    #[must_use]
    pub fn new(entity: Entity, direct: Vec<Group>, inherited: Vec<Group>) -> Self {
        let mut policies = Vec::new();
        let mut seen = BTreeSet::new();
        let groups = || direct.iter().chain(&inherited);
        for name in entity.policies.iter().chain(groups().flat_map(|group| &group.policies)) {
            // Nobody can write that one; nor is it believed of a record that says so all the same.
            let is_root = PolicyName::parse(name).is_ok_and(|name| name.is_root());
            if !is_root && seen.insert(name) {
                policies.push(name.clone());
            }
        }
        let facts = facts(&entity, groups());
        Self { entity, direct, inherited, policies, facts }
    }

    /// Returns all groups that it is in.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.direct.iter().chain(&self.inherited)
    }
}

/// What templates know of an entity. Names of groups and keys of metadata may hold dots, so two of them could be told
/// by one name; what is told in two ways is told in none.
fn facts<'a>(entity: &Entity, groups: impl Iterator<Item = &'a Group>) -> Facts {
    let mut told = BTreeMap::<String, Option<String>>::new();
    let mut tell = |name: String, value: &str| {
        told.entry(name)
            .and_modify(|before| *before = before.take().filter(|before| before == value))
            .or_insert_with(|| Some(value.to_owned()));
    };
    tell("identity.entity.id".into(), &entity.id.to_string());
    tell("identity.entity.name".into(), &entity.name);
    for (key, value) in &entity.metadata {
        tell(format!("identity.entity.metadata.{key}"), value);
    }
    for alias in &entity.aliases {
        let of = format!("identity.entity.aliases.{}", alias.mount_accessor);
        tell(format!("{of}.id"), &alias.id.to_string());
        tell(format!("{of}.name"), &alias.name);
        for (key, value) in &alias.metadata {
            tell(format!("{of}.metadata.{key}"), value);
        }
        for (key, value) in &alias.custom_metadata {
            tell(format!("{of}.custom_metadata.{key}"), value);
        }
    }
    for group in groups {
        let by_id = format!("identity.groups.ids.{}", group.id);
        let by_name = format!("identity.groups.names.{}", group.name);
        tell(format!("{by_id}.name"), &group.name);
        tell(format!("{by_name}.id"), &group.id.to_string());
        for (key, value) in &group.metadata {
            tell(format!("{by_id}.metadata.{key}"), value);
            tell(format!("{by_name}.metadata.{key}"), value);
        }
    }
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Checks a name. It is kept as it is written, and two that differ in case alone are one: see [`plain_name`].
pub fn checked_name(written: &str) -> Result<String, BadIdentity> {
    let bad = |what: &str| Err(BadIdentity(format!("the name {what}")));
    if written.is_empty() || written.len() > IDENTITY_NAME_MAX {
        return bad(&format!("must have 1 to {IDENTITY_NAME_MAX} bytes"));
    }
    if written.trim() != written || written.chars().any(is_unseen) {
        return bad("must not begin or end with a space, nor hold characters that nobody sees");
    }
    // It is read and written under a path that ends in it.
    if written.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return bad("must not have parts between `/` that are empty, `.` or `..`");
    }
    if plain_name(written).len() > IDENTITY_NAME_MAX {
        return bad(&format!("must have {IDENTITY_NAME_MAX} bytes at most in lower case as well"));
    }
    Ok(written.to_owned())
}

/// Checks the name of an alias, in the one way of its method: a `role_id` may be any text.
pub fn checked_alias_name(name: String) -> Result<String, BadIdentity> {
    if name.is_empty() || name.len() > ALIAS_NAME_MAX {
        return Err(BadIdentity(format!("the name of an alias has 1 to {ALIAS_NAME_MAX} bytes")));
    }
    Ok(name)
}

/// Two names that differ in such characters alone look the same in every list.
fn is_unseen(char: char) -> bool {
    let invisible = matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    invisible || char.is_control()
}

/// Checks what is noted on something.
pub fn checked_metadata(metadata: Metadata) -> Result<Metadata, BadIdentity> {
    check_metadata(&metadata)?;
    Ok(metadata)
}

/// The same, of what stays where it is.
pub fn check_metadata(metadata: &Metadata) -> Result<(), BadIdentity> {
    if metadata.len() > METADATA_PAIRS_MAX {
        return Err(BadIdentity(format!("metadata has at most {METADATA_PAIRS_MAX} pairs")));
    }
    let fits = |(key, value): (&String, &String)| {
        !key.is_empty() && key.len() <= METADATA_KEY_MAX && value.len() <= METADATA_VALUE_MAX
    };
    if !metadata.iter().all(fits) {
        return Err(BadIdentity(format!(
            "keys of metadata have 1 to {METADATA_KEY_MAX} bytes, values at most {METADATA_VALUE_MAX}"
        )));
    }
    Ok(())
}

/// Checks the policies of an entity or a group: each is normalized before anything looks at it, and `root` is given by
/// a root token only.
pub fn checked_policies(written: &[String]) -> Result<Vec<String>, BadIdentity> {
    let mut policies = Vec::with_capacity(written.len());
    for name in written.iter().filter(|name| !name.trim().is_empty()) {
        let name = PolicyName::parse(name).map_err(|error| BadIdentity(error.to_string()))?;
        if name.is_root() {
            return Err(BadIdentity("policies cannot contain root".into()));
        }
        let name = name.as_str().to_owned();
        if !policies.contains(&name) {
            policies.push(name);
        }
        if policies.len() > POLICIES_MAX {
            return Err(BadIdentity(format!("more than {POLICIES_MAX} policies")));
        }
    }
    Ok(policies)
}

#[cfg(test)]
#[path = "identity/tests.rs"]
mod tests;
