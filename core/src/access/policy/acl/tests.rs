//! The compiled list beside a slow and obvious model of what Vault's documents say, and the cases they give.

use super::*;
use crate::access::policy::{Capability::*, PolicyName};
use proptest::prelude::*;
use std::cmp::Ordering;

fn policy(name: &str, text: &str) -> Policy {
    Policy::parse(PolicyName::parse(name).unwrap(), text).unwrap()
}

fn acl(text: &str) -> Acl {
    Acl::compile([&policy("test", text)], &Facts::default())
}

fn ask(path: &str, capability: Capability) -> Question<'_> {
    Question { path, capability, parameters: None, wrap_ttl: None, right: Right::Policy }
}

fn may(acl: &Acl, path: &str, capability: Capability) -> bool {
    acl.decide(&ask(path, capability)).verdict.is_allowed()
}

/// The path of the rule that decides.
fn decides<'a>(acl: &'a Acl, path: &'a str, capability: Capability) -> Option<&'a str> {
    acl.decide(&ask(path, capability)).grant.map(Grant::path)
}

fn rules(paths: &[&str]) -> Acl {
    let rule = |path: &&str| format!("path {path:?} {{ capabilities = [\"read\", \"list\"] }}\n");
    acl(&paths.iter().map(rule).collect::<String>())
}

#[test]
fn the_rule_that_speaks_most_exactly_decides() {
    for (paths, path, decided) in [
        (&["secret/*", "secret/a"][..], "secret/a", Some("secret/a")),
        (&["secret/*", "secret/a/*"], "secret/a/b", Some("secret/a/*")),
        (&["secret/*"], "secret", None),
        (&["secret*"], "secret", Some("secret*")),
        (&["*"], "anything/at/all", Some("*")),
        (&["secret/+/a", "secret/*"], "secret/x/a", Some("secret/+/a")),
        (&["secret/+", "secret/*"], "secret/x", Some("secret/+")),
        (&["secret/+", "secret/*"], "secret/x/y", Some("secret/*")),
        (&["secret/+/a", "secret/x/*"], "secret/x/a", Some("secret/x/*")),
        (&["secret/+/+/a", "secret/+/b/a"], "secret/x/b/a", Some("secret/+/b/a")),
        (&["secret/+/a*", "secret/+/ab*"], "secret/x/abc", Some("secret/+/ab*")),
        (&["secret/+/a*", "secret/+/+"], "secret/x/abc", Some("secret/+/+")),
        (&["+/a", "s*"], "secret/a", Some("s*")),
        (&["a+b/c", "a*"], "axb/c", Some("a*")),
        (&["a+b/c", "a*"], "a+b/c", Some("a+b/c")),
        (&["a*b"], "axb", None),
        (&["a*b"], "a*b", Some("a*b")),
        (&["a/+/c"], "a/b/c/d", None),
        (&["a/+/c*"], "a/b/c/d", Some("a/+/c*")),
        (&["a/+"], "a", None),
        (&["/a"], "a", Some("a")),
        (&["a/+/é*", "a/*"], "a/x/éa", Some("a/*")),
        (&["a/+/é*", "*"], "a/x/éa", Some("a/+/é*")),
        (&["é", "è*"], "èa", Some("è*")),
    ] {
        assert_eq!(decides(&rules(paths), path, Read), decided, "{paths:?} {path}");
    }
}

#[test]
fn ghsa_xp3c_3jw3_4vcr_a_list_is_denied_by_the_rule_of_what_is_below() {
    let acl = acl(r#"
        path "secret/metadata/*" { capabilities = ["list", "read"] }
        path "secret/metadata/restricted/*" { capabilities = ["deny"] }
        path "secret/+" { capabilities = ["list"] }
        path "secret/hidden/*" { capabilities = ["deny"] }
    "#);
    for path in ["secret/metadata/restricted", "secret/metadata/restricted/"] {
        assert!(!may(&acl, path, List), "{path}");
    }
    assert!(!may(&acl, "secret/hidden", List) && !may(&acl, "secret/hidden/", List));
    assert!(may(&acl, "secret/metadata/open", List) && may(&acl, "secret/metadata/open/", List));
    assert!(may(&acl, "secret/other/", List) && may(&acl, "secret/other", List));
    // What is read has one spelling.
    assert!(may(&acl, "secret/metadata/restricted", Read));
}

#[test]
fn a_list_is_named_with_a_slash_or_without() {
    for written in ["a/b", "a/b/", "a/+", "a/+/", "a/b*", "a/*"] {
        let acl = rules(&[written]);
        for path in ["a/b", "a/b/"] {
            assert_eq!(decides(&acl, path, List), Some(written), "{written} {path}");
        }
    }
    assert_eq!(decides(&rules(&["a/b", "a/b/"]), "a/b", List), Some("a/b/"));
}

#[test]
fn equal_paths_are_merged_and_deny_wins() {
    let one = policy("one", r#"path "a" { capabilities = ["read"] }"#);
    let two = policy(
        "two",
        r#"path "/a" { capabilities = ["list"] } path "b" { capabilities = ["read", "deny"] }"#,
    );
    let three = policy("three", r#"path "a" { capabilities = ["deny"] }"#);
    let both = Acl::compile([&one, &two], &Facts::default());
    assert!(may(&both, "a", Read) && may(&both, "a", List) && !may(&both, "b", Read));
    assert_eq!(both.capabilities("a").words(), ["list", "read"]);
    assert_eq!(both.capabilities("b").words(), ["deny"]);
    for order in [[&one, &two, &three], [&three, &two, &one]] {
        let all = Acl::compile(order, &Facts::default());
        assert_eq!(all.decide(&ask("a", Read)).verdict, Verdict::Denied);
        assert_eq!(all.capabilities("a").words(), ["deny"]);
    }
}

#[test]
fn where_names_are_the_same_in_any_case_rules_speak_of_them_in_any_case() {
    let written = policy(
        "written",
        r#"
        path "auth/userpass/users/*" { capabilities = ["read", "update"] }
        path "auth/userpass/users/Root-Admin" { capabilities = ["deny"] }
        path "auth/+/role/My*" { capabilities = ["read"] }
        path "sys/policies/acl/Admin" { capabilities = ["read"] }
        path "sys/policies/acl/admin" { capabilities = ["deny"] }
        path "identity/entity/name/{{identity.entity.name}}" { capabilities = ["read"] }
        path "database/creds/MyRole" { capabilities = ["read"] }
        path "auth/token/roles/My" { capabilities = ["read"] }
    "#,
    );
    let facts = Facts::named([("identity.entity.name", "Ann")]).unwrap();
    let acl = Acl::compile([&written], &facts);
    for name in ["root-admin", "Root-Admin", "ROOT-ADMIN"] {
        let path = format!("auth/userpass/users/{name}");
        assert_eq!(acl.decide(&ask(&path, Update)).verdict, Verdict::Denied, "{name}");
        assert_eq!(acl.capabilities(&path).words(), ["deny"]);
        assert_eq!(acl.speaking(&ask(&path, Update)).len(), 2);
    }
    for (path, is_allowed) in [
        ("auth/userpass/users/ann", true),
        ("auth/approle/role/myapp", true),
        ("auth/approle/role/yours", false),
        ("sys/policies/acl/admin", false),
        ("sys/policies/acl/Admin", false),
        ("identity/entity/name/ann", true),
        ("identity/entity/name/bob", false),
        ("database/creds/MyRole", true),
        ("database/creds/myrole", false),
        ("auth/token/roles/My", true),
        ("auth/token/roles/my", false),
    ] {
        assert_eq!(may(&acl, path, Read), is_allowed, "{path}");
    }
}

#[test]
fn sudo_is_needed_beside_what_is_asked() {
    let acl = acl(r#"
        path "sys/auth/*" { capabilities = ["update", "sudo"] }
        path "sys/raw" { capabilities = ["update"] }
        path "sys/seal" { capabilities = ["sudo"] }
    "#);
    let sudo = |path, capability| {
        acl.decide(&Question { right: Right::Sudo, ..ask(path, capability) }).verdict
    };
    assert_eq!(sudo("sys/auth/x", Update), Verdict::Allowed);
    assert_eq!(sudo("sys/auth/x", Read), Verdict::Lacks(Read));
    assert_eq!(sudo("sys/raw", Update), Verdict::Lacks(Sudo));
    assert_eq!(sudo("sys/seal", Update), Verdict::Lacks(Update));
    assert_eq!(sudo("sys/none", Update), Verdict::Unmatched);
}

#[test]
fn what_concerns_ones_own_token_needs_a_rule_only_to_be_denied() {
    let acl = acl(
        r#"path "auth/token/revoke-self" { capabilities = ["deny"] } path "auth/*" { capabilities = ["read"] }"#,
    );
    let own = |path| acl.decide(&Question { right: Right::Own, ..ask(path, Update) }).verdict;
    assert_eq!(own("auth/token/renew-self"), Verdict::Allowed);
    assert_eq!(own("sys/capabilities-self"), Verdict::Allowed);
    assert_eq!(own("auth/token/revoke-self"), Verdict::Denied);
}

#[test]
fn ghsa_59w7_v8rr_pr4p_a_template_without_a_value_grants_nothing_and_its_deny_denies_all() {
    let facts = |name: &str| -> Facts {
        [("identity.entity.name".to_owned(), name.to_owned())].into_iter().collect()
    };
    let allows = policy(
        "allows",
        r#"path "s/{{identity.entity.name}}/*" { capabilities = ["read"] }
        path "open" { capabilities = ["read"] }"#,
    );
    let denies =
        policy("denies", r#"path "s/{{identity.entity.name}}/x" { capabilities = ["deny"] }"#);
    for value in ["*", "+", "a/b", "", "a,b"] {
        let acl = Acl::compile([&allows], &facts(value));
        assert!(!may(&acl, "s/other/x", Read) && !may(&acl, "s/a/b/x", Read), "{value}");
        assert!(may(&acl, "open", Read), "{value}");
        let acl = Acl::compile([&allows, &denies], &facts(value));
        assert!(!may(&acl, "open", Read) && !acl.reaches("s/"), "{value}");
        assert!(matches!(acl.decide(&ask("open", Read)).verdict, Verdict::Undecidable(_)));
        assert_eq!(acl.capabilities("open").words(), ["deny"]);
    }
    let acl = Acl::compile([&allows, &denies], &facts("ann"));
    assert!(
        may(&acl, "s/ann/y", Read) && !may(&acl, "s/ann/x", Read) && !may(&acl, "s/bob/y", Read)
    );
}

#[test]
fn a_wrapped_answer_is_within_its_bounds() {
    let acl = acl(
        r#"path "a" { capabilities = ["read"] min_wrapping_ttl = "10s" max_wrapping_ttl = 60 }"#,
    );
    let wrapped = |seconds: u64| {
        let wrap_ttl = (seconds > 0).then(|| Duration::from_secs(seconds));
        acl.decide(&Question { wrap_ttl, ..ask("a", Read) }).verdict
    };
    assert_eq!(wrapped(0), Verdict::Wrapping);
    assert_eq!((wrapped(9), wrapped(61)), (Verdict::Wrapping, Verdict::Wrapping));
    assert_eq!((wrapped(10), wrapped(60)), (Verdict::Allowed, Verdict::Allowed));
}

#[test]
fn a_decision_says_which_rule_of_which_policy_it_was() {
    let app = policy("app", "\npath \"db/creds/*\" {\n  capabilities = [\"read\"]\n}");
    let ops = policy("ops", r#"path "db/creds/root" { capabilities = ["deny"] }"#);
    let acl = Acl::compile([&app, &ops], &Facts::default());
    for (path, capability, told) in [
        ("db/creds/app", Read, r#"allowed by policy `app`, line 2, path "db/creds/*""#),
        (
            "db/creds/app",
            Update,
            r#"policy `app`, line 2, path "db/creds/*" grants read, and not update"#,
        ),
        ("db/creds/root", Read, r#"denied by policy `ops`, line 1, path "db/creds/root""#),
        ("db/roles", Read, "no rule speaks of this path"),
    ] {
        assert_eq!(acl.decide(&ask(path, capability)).to_string(), told);
    }
    let question = ask("db/creds/root", Read);
    let speaking: Vec<_> = acl.speaking(&question).into_iter().map(Grant::path).collect();
    assert_eq!(speaking, ["db/creds/root", "db/creds/*"]);
}

#[test]
fn a_mount_is_seen_by_who_may_do_anything_below_it() {
    for (written, path, seen) in [
        ("database/creds/app", "database/", true),
        ("database/*", "database/", true),
        ("data*", "database/", true),
        ("*", "database/", true),
        ("+/creds/app", "database/", true),
        ("team/+/creds/*", "team/db/", true),
        ("team/+/creds/*", "team/", true),
        ("database2/*", "database/", false),
        ("database", "database/", false),
        ("+/x", "a/b/", false),
        ("team/db2/+", "team/db/", false),
    ] {
        assert_eq!(rules(&[written]).reaches(path), seen, "{written} {path}");
        assert!(!acl(&format!("path {written:?} {{ policy = \"deny\" }}")).reaches(path));
    }
    assert!(Acl::root().reaches("database/"));
}

/// How a path is written in a rule, taken apart slowly.
#[derive(Clone, Debug)]
struct Model {
    written: String,
    segments: Vec<String>,
    open: bool,
}

impl Model {
    fn new(written: &str) -> Self {
        let open = written.ends_with('*');
        let text = written.strip_suffix('*').unwrap_or(written);
        Self {
            written: written.to_owned(),
            segments: text.split('/').map(str::to_owned).collect(),
            open,
        }
    }

    fn is_exact(&self) -> bool {
        !self.open && !self.segments.iter().any(|segment| segment == "+")
    }

    fn matches(&self, path: &str) -> bool {
        let path: Vec<_> = path.split('/').collect();
        if path.len() < self.segments.len() || !self.open && path.len() > self.segments.len() {
            return false;
        }
        let (last, before) = self.segments.split_last().unwrap();
        let fits = |(wanted, segment): (&String, &&str)| wanted == "+" || wanted == segment;
        let end = path[before.len()];
        before.iter().zip(&path).all(fits)
            && (fits((last, &end)) || self.open && end.starts_with(last))
    }

    /// How much stands before the first segment that is `+`, or before the `*` at the end.
    fn first_wildcard(&self) -> usize {
        let before: Vec<_> =
            self.segments.iter().take_while(|segment| *segment != "+").cloned().collect();
        let slash = if before.is_empty() || self.pluses() == 0 { "" } else { "/" };
        format!("{}{slash}", before.join("/")).len()
    }

    fn pluses(&self) -> usize {
        self.segments.iter().filter(|segment| *segment == "+").count()
    }

    fn text(&self) -> &str {
        self.written.strip_suffix('*').unwrap_or(&self.written)
    }

    /// Vault's words: "P1 has lower priority than P2 if …".
    fn priority(&self, other: &Self) -> Ordering {
        let (one, two) = (self.first_wildcard(), other.first_wildcard());
        if one != two {
            return one.cmp(&two);
        }
        if self.open != other.open {
            return if self.open { Ordering::Less } else { Ordering::Greater };
        }
        let (one, two) = (self.pluses(), other.pluses());
        if one != two {
            return two.cmp(&one);
        }
        let (one, two) = (self.text(), other.text());
        one.len().cmp(&two.len()).then_with(|| one.cmp(two))
    }
}

/// Which path decides, found by looking at all of them.
fn decides_slowly(paths: &[String], path: &str, listed: bool) -> Option<String> {
    let models: Vec<_> = paths.iter().map(|path| Model::new(path)).collect();
    let bare = path.strip_suffix('/').unwrap_or(path);
    let folder = format!("{bare}/");
    let spellings = if listed { vec![folder.as_str(), bare] } else { vec![path] };
    for spelling in &spellings {
        let exact = models.iter().find(|model| model.is_exact() && model.written == *spelling);
        if let Some(exact) = exact {
            return Some(exact.written.clone());
        }
    }
    let speaking = models.iter().filter(|model| {
        !model.is_exact() && spellings.iter().any(|spelling| model.matches(spelling))
    });
    speaking.max_by(|one, two| one.priority(two)).map(|model| model.written.clone())
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("ab"), 1 => Just("aé"), 1 => Just("a+")]
}

fn written() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => segment(), 2 => Just("+"), 1 => Just("a*b")];
    let end = prop_oneof![3 => Just(""), 2 => Just("/*"), 1 => Just("*"), 1 => Just("/")];
    (proptest::collection::vec(part, 1..5), end)
        .prop_map(|(parts, end)| format!("{}{end}", parts.join("/")))
        .prop_filter("`+*` is forbidden", |path| !path.contains("+*"))
}

fn asked() -> impl Strategy<Value = String> {
    let end = prop_oneof![4 => Just(""), 1 => Just("/")];
    (proptest::collection::vec(segment(), 1..6), end)
        .prop_map(|(parts, end)| format!("{}{end}", parts.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_same_rule_decides_as_in_the_slow_model(
        paths in proptest::collection::vec(written(), 0..16),
        asked in proptest::collection::vec((asked(), any::<bool>()), 16),
    ) {
        let written: Vec<_> = paths.iter().map(String::as_str).collect();
        let acl = rules(&written);
        for (path, listed) in &asked {
            let capability = if *listed { List } else { Read };
            let slow = decides_slowly(&paths, path, *listed);
            prop_assert_eq!(decides(&acl, path, capability), slow.as_deref(), "{:?} {}", paths, path);
            prop_assert_eq!(may(&acl, path, capability), slow.is_some());
        }
    }
}
