//! What operators may write, and what becomes of it.

use super::*;
use crate::chance::testing::Counting;
use proptest::prelude::*;

const VAULT_POSTGRES: &str = "{{ printf \"v-%s-%s-%s-%s\" (.DisplayName | truncate 8) \
                              (.RoleName | truncate 8) (random 20) (unix_time) | truncate 63 }}";

fn naming() -> Naming<'static> {
    Naming {
        lease: LeaseId::from_bytes(*b"0123456789abcdef"),
        display_name: "kubernetes-shop-app",
        role_name: "app-readonly",
        now: Timestamp(1_772_600_767_089),
    }
}

fn rendered(source: &str) -> String {
    Template::parse(source).unwrap().render(&naming(), &Counting::default())
}

#[test]
fn a_template_renders_as_in_vault() {
    for (source, name) in [
        ("{{ .DisplayName }}", "kubernetes-shop-app"),
        ("v_{{.RoleName}}_{{unix_time}}", "v_app-readonly_1772600767"),
        ("{{ unix_time_millis }}", "1772600767089"),
        ("{{ timestamp \"2006-01-02T15:04:05Z\" }}", "2026-03-04T05:06:07Z"),
        ("{{ .RoleName | truncate 3 | uppercase }}", "APP"),
        ("{{ truncate 3 .RoleName }}", "app"),
        ("{{ uppercase (truncate 3 .RoleName) }}", "APP"),
        ("{{ .RoleName | replace \"-\" \"_\" }}", "app_readonly"),
        ("{{ .DisplayName | replace \"-\" \"\" | lowercase }}", "kubernetesshopapp"),
        ("{{ \"abc\" | sha256 | truncate 8 }}", "ba7816bf"),
        ("{{ base64 \"abc\" }}", "YWJj"),
        // The SHA-256 of "netes-shop-app" begins with d6356c91.
        ("{{ .DisplayName | truncate_sha256 13 }}", "kuberd6356c91"),
        ("{{ .RoleName | truncate_sha256 13 }}", "app-readonly"),
        ("{{ random 5 }}", "yiSCw"),
        ("{{ uuid }}", "00010203-0405-4607-8809-0a0b0c0d0e0f"),
        ("{{ printf \"%s-%v%% %d\" .RoleName (unix_time) 7 }}", "app-readonly-1772600767% 7"),
        ("{{ printf `%s\"` unix_time }}", "1772600767\""),
        ("a {{- /* of no use */ -}} b", "ab"),
        ("a {{- .RoleName -}} b", "aapp-readonlyb"),
        ("{{ \"a\\\\\\\"}}\" }}b", "a\\\"}}b"),
        ("{{ .LeaseID }}", &naming().lease.to_string()),
    ] {
        assert_eq!(rendered(source), name, "{source}");
    }
}

#[test]
fn the_template_of_vaults_documentation_works() {
    assert_eq!(rendered(VAULT_POSTGRES), "v-kubernet-app-read-yiSCwgQAueO8scM6qaK4-1772600767");
}

#[test]
fn a_template_that_cannot_work_is_refused_with_its_position() {
    for (source, at, problem) in [
        ("a{{ .DisplayName", 2, "this `{{` has no `}}`"),
        ("{{ /* }}", 1, "this `{{` has no `}}`"),
        ("{{ }}", 1, "a value or a function is missing here"),
        ("{{ .Display }}", 4, "there is no `.Display`; there are"),
        ("é{{ rnd 5 }}", 5, "there is no function `rnd`; there are"),
        ("{{ random }}", 4, "`random` needs another argument"),
        ("{{ random 0 }}", 11, "`random` needs a number from 1 to 256 here"),
        ("{{ random 257 }}", 11, "`random` needs a number from 1 to 256 here"),
        ("{{ random 5 6 }}", 13, "`random` does not take so many arguments"),
        ("{{ random 5x }}", 11, "`5x` is not a whole number"),
        ("{{ random -5 }}", 11, "`-` means nothing here"),
        ("{{ truncate 0 .RoleName }}", 13, "`truncate` needs a number from 1 here"),
        ("{{ truncate_sha256 8 \"a\" }}", 20, "`truncate_sha256` needs a number from 9 here"),
        ("{{ uppercase 5 }}", 14, "`uppercase` needs a text here, not a number"),
        ("{{ timestamp .RoleName }}", 14, "`timestamp` needs a text in quotes here"),
        ("{{ printf \"%q\" 1 }}", 11, "after `%` comes"),
        ("{{ printf \"%s\" }}", 4, "`printf` needs another argument"),
        ("{{ printf \"%d\" (unix_time) }}", 16, "`printf` needs a number from 0 here"),
        ("{{ \"a }}", 4, "this text has no closing `\"`"),
        ("{{ \"\\x\" }}", 5, "in a text, `\\` comes before"),
        ("{{ `a }}", 4, "this text has no closing backtick"),
        ("{{ (uuid }}", 4, "this `(` has no `)`"),
        ("{{ uuid) }}", 8, "there is no `(` for this `)`"),
        ("{{ .RoleName | .DisplayName }}", 16, "only a function takes arguments"),
        ("{{ .RoleName 5 }}", 4, "only a function takes arguments"),
        ("{{ .RoleName | }}", 14, "a value or a function is missing here"),
        ("{{ if .RoleName }}", 4, "there is no function `if`"),
    ] {
        let refusal = Template::parse(source).unwrap_err().to_string();
        let expected = format!("at character {at}: {problem}");
        assert!(refusal.starts_with(&expected), "{source}: {refusal}");
    }
}

#[test]
fn a_template_is_bounded_in_length_nesting_and_output() {
    assert_eq!(Template::parse(""), Err(TemplateError::Empty));
    let long = "a".repeat(TEMPLATE_BYTES_MAX + 1);
    assert_eq!(Template::parse(&long), Err(TemplateError::TooLong { bytes: long.len() }));
    let piped = |times| format!("{{{{ uuid {} }}}}", "| sha256 ".repeat(times));
    assert!(Template::parse(&piped(NESTING_MAX - 1)).is_ok());
    assert!(Template::parse(&piped(NESTING_MAX)).unwrap_err().to_string().contains("nested"));
    let parenthesized = format!("{{{{ {}uuid{} }}}}", "(".repeat(1000), ")".repeat(1000));
    assert!(Template::parse(&parenthesized).unwrap_err().to_string().contains("nested"));
    let grown = format!(
        "{{{{ \"aaaaaaaa\" {} }}}}",
        "| replace \"a\" \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"".repeat(14)
    );
    assert_eq!(rendered(&grown).len(), NAME_BYTES_MAX);
}

#[test]
fn the_standard_name_carries_the_whole_lease_id_and_fits_postgres() {
    let name = Template::default().render(&naming(), &Counting::default());
    assert_eq!(name, format!("v-kubernet-app-read-{}-1772600767", naming().lease));
    assert!(name.len() <= 63, "{}", name.len());
    assert_eq!(Template::parse(Template::STANDARD), Ok(Template::default()));
}

#[test]
fn every_name_carries_the_bits_of_its_lease_once() {
    let lease = naming().lease;
    let bits = lease.bits();
    assert_eq!(with_lease_bits("v-app".to_owned(), lease), format!("v-app-{bits}"));
    for name in [lease.to_string(), format!("V-{}", bits.to_uppercase()), format!("{bits}-v")] {
        assert_eq!(with_lease_bits(name.clone(), lease), name);
    }
    let half = lease.to_string().split_at(20).0.to_owned();
    assert_eq!(with_lease_bits(half.clone(), lease), format!("{half}-{bits}"));
}

#[test]
fn a_template_is_stored_as_its_text_and_read_back() {
    let template = Template::parse(VAULT_POSTGRES).unwrap();
    let stored = serde_json::to_string(&template).unwrap();
    assert_eq!(stored, serde_json::to_string(VAULT_POSTGRES).unwrap());
    assert_eq!(serde_json::from_str::<Template>(&stored).unwrap(), template);
    assert!(serde_json::from_str::<Template>("\"{{\"").is_err());
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(source in ".{0,200}") {
        if let Ok(template) = Template::parse(&source) {
            let _name = template.render(&naming(), &Counting::default());
        }
    }

    #[test]
    fn any_sequence_of_tokens_is_parsed_or_refused(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{- ", " -}}", "/*", "*/", "(", ")", "|", " ", "8", "300", "\"a", "\"",
                "`", "\\", "%s", "é", ".DisplayName", ".LeaseID", ".x", "truncate", "replace",
                "truncate_sha256", "printf", "random", "timestamp", "uuid", "base64", "sha256",
            ]),
            0..30,
        )
    ) {
        let source = tokens.concat();
        if let Ok(template) = Template::parse(&source) {
            let name = with_lease_bits(
                template.render(&naming(), &Counting::default()),
                naming().lease,
            );
            prop_assert!(name.contains(&naming().lease.bits()));
        }
    }
}
