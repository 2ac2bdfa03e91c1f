//! Tests of what entities and groups come to.

use super::*;
use crate::chance::testing::Counting;

const NOW: Timestamp = Timestamp(1_000);

fn entity(name: &str, policies: &[&str]) -> Entity {
    Entity {
        id: EntityId::new(NOW, &Counting::default()),
        name: name.into(),
        metadata: Metadata::new(),
        policies: policies.iter().map(|&name| name.into()).collect(),
        disabled: false,
        aliases: Vec::new(),
        merged: Vec::new(),
        made_at: NOW,
        changed_at: NOW,
    }
}

fn group(name: &str, policies: &[&str], metadata: &[(&str, &str)]) -> Group {
    Group {
        id: GroupId::new(NOW, &Counting::default()),
        name: name.into(),
        kind: GroupKind::Internal,
        metadata: metadata.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        policies: policies.iter().map(|&name| name.into()).collect(),
        version: 1,
        made_at: NOW,
        changed_at: NOW,
    }
}

fn fact(identity: &Identity, name: &str) -> Option<String> {
    identity.facts.known(name).map(str::to_owned)
}

#[test]
fn the_policies_of_an_entity_and_its_groups_are_each_told_once_and_never_root() {
    let direct = vec![group("a", &["p", "Root ", "q"], &[])];
    let inherited = vec![group("b", &["q", "r"], &[])];
    let identity = Identity::new(entity("ann", &["p", "root"]), direct, inherited);
    assert_eq!(identity.policies, ["p", "q", "r"]);
}

#[test]
fn templates_know_an_entity_its_aliases_and_its_groups() {
    let mut ann = entity("ann", &[]);
    ann.metadata.insert("team".into(), "shop".into());
    ann.aliases.push(Alias {
        id: AliasId::new(NOW, &Counting::default()),
        mount: MountId::from_bytes([1; 16]),
        mount_accessor: "auth_userpass_1".into(),
        name: "ann.b".into(),
        metadata: Metadata::from([("role_name".into(), "shop".into())]),
        custom_metadata: Metadata::from([("k".into(), "v".into())]),
        merged_from: Vec::new(),
        made_at: NOW,
        changed_at: NOW,
    });
    let ops = group("ops.eu", &[], &[("floor", "2")]);
    let id = ops.id;
    let identity = Identity::new(ann, Vec::new(), vec![ops]);
    for (name, value) in [
        ("identity.entity.name", "ann"),
        ("identity.entity.metadata.team", "shop"),
        ("identity.entity.aliases.auth_userpass_1.name", "ann.b"),
        ("identity.entity.aliases.auth_userpass_1.metadata.role_name", "shop"),
        ("identity.entity.aliases.auth_userpass_1.custom_metadata.k", "v"),
        (&format!("identity.groups.ids.{id}.name"), "ops.eu"),
        (&format!("identity.groups.ids.{id}.metadata.floor"), "2"),
        ("identity.groups.names.ops.eu.id", &id.to_string()),
        ("identity.groups.names.ops.eu.metadata.floor", "2"),
    ] {
        assert_eq!(fact(&identity, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn what_two_groups_tell_by_one_name_is_told_by_neither() {
    // The id of the one is written as the metadata of the other.
    let one = group("x", &[], &[("team.id", "prod")]);
    let other = group("x.metadata.team", &[], &[]);
    let name = "identity.groups.names.x.metadata.team.id";
    let alone = Identity::new(entity("ann", &[]), vec![one.clone()], Vec::new());
    assert_eq!(fact(&alone, name).as_deref(), Some("prod"));
    let both = Identity::new(entity("ann", &[]), vec![one, other], Vec::new());
    assert_eq!(fact(&both, name), None);
}

#[test]
fn names_that_cannot_be_told_apart_or_reached_are_refused() {
    for name in ["ann", "Ann B.", "team/ann", "Zoë", "安", "a*+,b", "{{identity.entity.id}}"] {
        assert_eq!(checked_name(name).as_deref(), Ok(name));
    }
    let long = "x".repeat(IDENTITY_NAME_MAX.saturating_add(1));
    // One that grows when it is written in lower case.
    let grows = "\u{130}".repeat(IDENTITY_NAME_MAX / 2);
    for name in [
        "",
        " ann",
        "ann\t",
        "a\0b",
        "a\u{200b}nn",
        "\u{202e}nna",
        "a//b",
        "/a",
        "a/..",
        ".",
        &long,
        &grows,
    ] {
        assert!(checked_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn cve_2025_5999_no_entity_and_no_group_gives_root_however_it_is_written() {
    let policies =
        |names: &[&str]| checked_policies(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>());
    for name in ["root", " Root", "ROOT\t", "\nrOOt "] {
        assert!(policies(&["a", name]).is_err(), "{name:?}");
    }
    assert!(policies(&["r\u{43e}\u{43e}t"]).is_err());
    assert_eq!(policies(&["B ", "a", "b", ""]).unwrap(), ["b", "a"]);
}

#[test]
fn metadata_is_bounded() {
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), "v".to_owned())).collect();
    assert!(checked_metadata(pairs(METADATA_PAIRS_MAX)).is_ok());
    assert!(checked_metadata(pairs(METADATA_PAIRS_MAX.saturating_add(1))).is_err());
    let long = "x".repeat(METADATA_VALUE_MAX.saturating_add(1));
    for (key, value) in [("", "v"), (long.as_str(), "v"), ("k", long.as_str())] {
        assert!(checked_metadata(Metadata::from([(key.into(), value.into())])).is_err());
    }
}
