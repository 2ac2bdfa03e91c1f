use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Policy, BadPolicy> {
    Policy::parse(PolicyName::parse("test").unwrap(), text)
}

/// The paths of a policy, with the words of what they grant.
fn granted(text: &str) -> Vec<(String, String)> {
    let policy = parse(text).unwrap_or_else(|bad| panic!("{bad}: {text}"));
    let words = |rule: &Rule| (rule.path.clone(), rule.capabilities.words().join(" "));
    policy.rules.iter().map(words).collect()
}

fn one(path: &str, words: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), words.to_owned())]
}

#[test]
fn a_policy_is_written_in_hcl_or_in_json() {
    let read = one("a/*", "list read");
    for text in [
        "path \"a/*\" { capabilities = [\"read\", \"list\"] }",
        "# why\npath \"a/*\" { // what\n  capabilities = [\n    \"read\", /* both */\n    \"list\",\n  ]\n}\n",
        "path \"a/*\" { policy = \"read\" }",
        "path = { \"a/*\" = { capabilities = [\"read\", \"list\"] } }",
        "name = \"x\" path \"/a/*\" { comment = \"why\" capabilities = [\"read\"] policy = \"read\" }",
        r#"{"path":{"a/*":{"capabilities":["read","list"]}}}"#,
        r#" {"path":[{"a\/*":[{"capabilities":["read","\u006cist"]}]}],"name":"x"}"#,
    ] {
        assert_eq!(granted(text), read, "{text}");
    }
    assert_eq!(granted(""), []);
    assert_eq!(granted("{}"), []);
    assert_eq!(granted("path \"a\" {}"), one("a", "deny"));
    assert_eq!(granted("path \"a\" { capabilities = [\"read\", \"deny\"] }"), one("a", "deny"));
    assert_eq!(
        granted("path \"a\" { policy = \"write\" }"),
        one("a", "create delete list read update")
    );
}

#[test]
fn a_rule_says_what_it_wants_of_parameters_and_wrapping() {
    let policy = parse(
        r#"path "a" { capabilities = ["update"]
            allowed_parameters = { "X" = ["1", 2, true], "*" = [] }
            denied_parameters { y = [] }
            required_parameters = ["K"] min_wrapping_ttl = "1s" max_wrapping_ttl = "90s" }"#,
    );
    let rule = policy.unwrap().rules.remove(0);
    assert_eq!(rule.parameters.allowed["x"], [Value::from("1"), Value::from(2), Value::from(true)]);
    assert_eq!(rule.parameters.allowed["*"], [Value::Null; 0]);
    assert_eq!(rule.parameters.denied["y"], [Value::Null; 0]);
    assert!(rule.parameters.required.contains("k"));
    assert_eq!(rule.wrapping.min, Some(Duration::from_secs(1)));
    assert_eq!(rule.wrapping.max, Some(Duration::from_secs(90)));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, told) in [
        ("path \"a\" {", "line 1: a `{` is not closed"),
        ("nonsense", "line 1: behind \"nonsense\" stands a `=`"),
        ("\n\n!", "line 3: '!' means nothing here"),
        (
            "path \"a\" {\n capabilities = [\"bad\"]\n}",
            "line 2: path \"a\": invalid capability \"bad\"; there is create,",
        ),
        ("path \"a\" { policy = \"bad\" }", "path \"a\": invalid policy \"bad\""),
        ("path \"a\" {}\nother \"b\" {}", "line 2: invalid key \"other\""),
        ("path \"a\" {\n\nunknown = 1 }", "line 3: path \"a\": invalid key \"unknown\""),
        ("path \"a\" { mfa_methods = [\"x\"] }", "`mfa_methods` is not supported; without it"),
        (
            "path \"a\" { min_wrapping_ttl = \"90s\" max_wrapping_ttl = \"1s\" }",
            "max_wrapping_ttl cannot be less than",
        ),
        ("path \"a\" { max_wrapping_ttl = \"x\" }", "error parsing max_wrapping_ttl"),
        ("path \"a/+*\" {}", "`+*` is forbidden"),
        ("path \"a/{{identity.entity}}\" {}", "is nothing that can be filled in"),
        ("path \"a\" \"b\" {}", "a `path` has one path"),
        ("path \"a\" { capabilities = \"read\" }", "capabilities are a list of texts"),
        ("path \"a\" { capabilities = [read] }", "put a text in quotes"),
        ("path \"a\" { capabilities = [\"read\" \"list\"] }", "separated by commas"),
        ("path \"a\" { allowed_parameters = [\"x\"] }", "is an object of lists"),
        ("path \"a\" { allowed_parameters = { x = \"1\" } }", "is an object of lists"),
        ("path \"a\nb\" {}", "line 1: a text that begins with `\"` does not end"),
        ("/* open", "line 1: a comment that begins with `/*`"),
        ("path \"a\" = 5", "stands a `=` or a `{`"),
        ("path = 5", "needs a path and what may be done there"),
        (
            "{\"path\":{\"a\":{\"capabilities\":[\"bad\"]}}}",
            "line 1: path \"a\": invalid capability",
        ),
        ("{\"path\":\n{\"a\":\n{\"other\":1}}}", "line 3: path \"a\": invalid key \"other\""),
        ("{\"path\":{}", "line 1: EOF while parsing"),
        ("{\"path\" = {}}", "line 1: expected `:`"),
        ("path \"a\" { capabilities = [\"\\ud800\"] }", "stands for no character"),
        ("path \"a\" { x = -- }", "is no number"),
    ] {
        let bad = parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(bad.contains(told), "{text}: {bad}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let bad = parse("path \"a\" {\n x = 1\n y = 2\n}\nz = 3").map(|_| ()).unwrap_err();
    let lines: Vec<_> = bad.0.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [2, 3, 5]);
}

#[test]
fn cve_2025_6203_a_policy_that_would_cost_too_much_is_not_read() {
    let long = " ".repeat(POLICY_BYTES_MAX + 1);
    assert!(parse(&long).unwrap_err().to_string().contains("at most 262144 bytes"));
    let many = "path \"a\" {}\n".repeat(POLICY_RULES_MAX + 5);
    let bad = parse(&many).unwrap_err();
    assert_eq!(bad.0.len(), 1, "{bad}");
    assert!(bad.to_string().contains("at most 4096 rules"));
    for (open, text) in
        [("[", "path \"a\" { x = "), ("{ x = ", "path \"a\" "), ("{\"a\":", "{\"path\":")]
    {
        let deep = format!("{text}{}", open.repeat(10_000));
        assert!(parse(&deep).is_err(), "{open}");
    }
}

#[test]
fn a_star_that_means_nothing_is_warned_of() {
    let warned = parse("path \"a/*/b\" {}\npath \"a/*\" {}\npath \"a*b*\" {}").unwrap().warnings();
    let lines: Vec<_> = warned.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 3]);
}

#[test]
fn heredocs_and_escapes_are_read() {
    let text =
        "path \"a\" { comment = <<-END\n    one\n      two\n    END\n capabilities = [\"read\"] }";
    assert_eq!(granted(text), one("a", "read"));
    assert_eq!(granted("path \"a\\\"\\u00e9\" { policy = \"deny\" }"), one("a\"é", "deny"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fall_over(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_mix_of_what_policies_are_made_of_makes_the_parser_fall_over(
        parts in proptest::collection::vec(prop_oneof![
            Just("path "), Just("\"a\" "), Just("{"), Just("}"), Just("["), Just("]"), Just("="), Just(","), Just(":"),
            Just("capabilities"), Just("\"read\""), Just("\n"), Just("# x\n"), Just("/*"), Just("*/"), Just("<<E\n"),
            Just("E\n"), Just("1"), Just("-"), Just("\\u"), Just("true"), Just("\""),
        ], 0..40),
    ) {
        let _ = parse(&parts.concat());
        let _ = parse(&format!("{{{}", parts.concat()));
    }
}
