//! Holds `docs/THREATS.md` to the tests: what it says is shown by a test is, and no published flaw is tested unsaid.

use super::{File, complain, declared, files};
use std::collections::{BTreeMap, BTreeSet};

/// The cases of the engines' suite are tests by being listed, each as `module::name =`.
const CASES: &str = "integration-tests/src/engine_suite/cases.rs";

/// Returns the names of the tests of a file.
fn tests(file: &File) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in file.text.lines() {
        let listed = line.strip_suffix(" =").and_then(|line| line.rsplit_once("::"));
        found.extend(listed.filter(|_| file.path == CASES).map(|(_, name)| name));
        let attribute = line.trim_start().strip_prefix("#[");
        is_test |= attribute.is_some_and(|rest| {
            ["test]", "tokio::test]", "tokio::test("].iter().any(|test| rest.starts_with(test))
        });
        if let Some(name) = declared(line, "fn")
            && std::mem::take(&mut is_test)
        {
            found.insert(name);
        }
    }
    found
}

/// Returns the tests that a line names, each by its file and its name.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.rsplit_once("::")).filter(|example| *example != ("file", "name"))
}

fn is_of_a_flaw(name: &str) -> bool {
    name.contains("cve_") || name.contains("ghsa_")
}

#[test]
fn the_tests_that_the_threats_name_are_there_and_those_of_flaws_are_named() {
    let sources = files("rs");
    let there: BTreeMap<&str, BTreeSet<&str>> =
        sources.iter().map(|file| (file.path.trim_end_matches(".rs"), tests(file))).collect();
    let documents = files("md");
    let threats = documents.iter().find(|file| file.path == "docs/THREATS.md").unwrap();
    let (mut complaints, mut shown) = (Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(threats.text.lines()) {
        for (file, name) in named(line) {
            let full = format!("integration-tests/tests/{file}");
            let path = if there.contains_key(file) { file } else { &full };
            if there.get(path).is_some_and(|tests| tests.contains(name)) {
                shown.insert((path.to_owned(), name));
            } else {
                complaints.push(format!("docs/THREATS.md:{number}: no test `{file}::{name}`"));
            }
        }
    }
    for (path, names) in &there {
        for name in names.iter().filter(|name| is_of_a_flaw(name)) {
            if !shown.contains(&((*path).to_owned(), *name)) {
                complaints.push(format!("{path}.rs: say in docs/THREATS.md what `{name}` shows"));
            }
        }
    }
    complain(&complaints);
    assert!(shown.len() > 100, "{} tests are named", shown.len());
}

#[test]
fn a_test_is_told_from_a_function() {
    let text = "#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(start_paused = true)]\n/// Why.\nasync fn two() {}\n\
                #[cfg(test)]\nmod tests {\n    fn three() {}\n";
    let file = File { path: "a.rs".to_owned(), text: text.to_owned() };
    assert_eq!(tests(&file), BTreeSet::from(["one", "two"]));
    let line = "| a `laws::b_c`, `x` | `core/src/a/tests::d` and `file::name` |";
    let found: Vec<_> = named(line).collect();
    assert_eq!(found, [("laws", "b_c"), ("core/src/a/tests", "d")]);
}
