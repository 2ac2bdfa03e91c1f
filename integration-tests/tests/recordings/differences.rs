//! The checked list of differences: what differs from the recordings, each with its reason. What is not
//! listed may not differ, and what is listed must.
//!
//! | heading | the step | counts |
//! |---|---|---|
//! | `differences` | is answered otherwise | as one that does not match |
//! | `wording` | has an error or a warning that goes on in other words after `begins` | as one that matches |
//! | `later` | needs what does not exist yet | not |
//! | `follows` | only shows again what an earlier difference left behind | not |

use crate::replay::{Outcome, Played};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = include_str!("../../recordings/differences.json");

/// The list.
#[derive(Debug)]
pub(crate) struct Differences(Value);

/// An error or a warning in other words than recorded.
pub(crate) struct Wording {
    /// What both begin with.
    pub(crate) begins: String,
    /// Whether the words depend on the time between two steps, so that they may be the same.
    pub(crate) sometimes: bool,
}

/// What a replay comes to.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) matching: usize,
    pub(crate) counted: usize,
    pub(crate) complaints: Vec<String>,
}

impl Differences {
    /// Reads the list.
    pub(crate) fn read() -> Self {
        Self(serde_json::from_str(LIST).expect("the list of differences is JSON"))
    }

    /// Returns the keys whose values name the product.
    pub(crate) fn products(&self) -> BTreeSet<String> {
        self.0["products"].as_object().unwrap().keys().cloned().collect()
    }

    /// Puts what there is in place of what is not there yet, where the scenario is not about that.
    pub(crate) fn put_stand_ins(&self, name: &str, scenario: &mut Value) {
        scenario["before"] = self.0["before"][name].clone();
        for (of, stand_in) in self.0["stand_ins"][name].as_object().into_iter().flatten() {
            replace(scenario, of, stand_in.as_str().unwrap());
        }
    }

    /// Returns what is wrong with the list itself.
    pub(crate) fn complaints(&self, scenarios: &[&str]) -> Vec<String> {
        let files = self.0["files"].as_object().unwrap();
        let unknown = files.keys().filter(|name| !scenarios.contains(&name.as_str()));
        unknown.map(|name| format!("{name}: there is no such scenario")).collect()
    }

    /// Returns how the error or warning of a step differs, if it goes on in other words than recorded.
    pub(crate) fn wording(&self, name: &str, step: usize) -> Option<Wording> {
        let mut entries = self.0["files"][name]["wording"].as_array().into_iter().flatten();
        let entry = entries.find(|entry| {
            let mut steps = entry["steps"].as_array().into_iter().flatten();
            steps.any(|listed| listed.as_u64() == u64::try_from(step).ok())
        });
        let entry = entry?;
        let begins = entry["begins"].as_str().expect("an entry says what both begin with");
        let sometimes = entry["sometimes"].as_bool().unwrap_or(false);
        Some(Wording { begins: begins.to_owned(), sometimes })
    }

    /// Returns the steps listed under a heading, with their reasons.
    fn steps(&self, name: &str, heading: &str) -> BTreeMap<usize, &str> {
        let mut found = BTreeMap::new();
        for entry in self.0["files"][name][heading].as_array().into_iter().flatten() {
            let reason = entry["reason"].as_str().expect("every difference has a reason");
            assert!(!reason.is_empty(), "{name}: a reason is empty");
            for step in entry["steps"].as_array().expect("every entry names its steps") {
                let step = usize::try_from(step.as_u64().unwrap()).unwrap();
                let before = found.insert(step, reason);
                assert!(before.is_none(), "{name} {step}: listed twice");
            }
        }
        found
    }

    /// Compares what was played with what is listed.
    pub(crate) fn compared(&self, name: &str, played: &Played) -> Told {
        let differing = self.steps(name, "differences");
        let mut aside = self.steps(name, "later");
        aside.extend(self.steps(name, "follows"));
        let worded = self.steps(name, "wording");
        let mut told = Told::default();
        for (step, outcome) in played {
            let complaint = match (outcome, differing.contains_key(step), aside.contains_key(step))
            {
                (_, true, true) => {
                    Some("is listed as a difference, and as one that does not count".to_owned())
                }
                (Outcome::Same, _, true) => Some(
                    "is listed as one that does not count, and matches: take it off the list"
                        .to_owned(),
                ),
                (_, _, true) => continue,
                (Outcome::Same, true, _) => {
                    Some("is listed as a difference, and matches: take it off the list".to_owned())
                }
                (Outcome::Same, false, _) => {
                    told.matching += 1;
                    None
                }
                (Outcome::Different(_), true, _) => None,
                (Outcome::Different(how), false, _) => Some(format!("differs: {how}")),
                (Outcome::Impossible, _, _) => {
                    Some("cannot be played: it needs what an earlier step did not give".to_owned())
                }
            };
            told.counted += 1;
            told.complaints.extend(complaint.map(|complaint| format!("{name} {step} {complaint}")));
        }
        let twice =
            worded.keys().filter(|step| differing.contains_key(step) || aside.contains_key(step));
        told.complaints.extend(twice.map(|step| format!("{name} {step}: is listed twice")));
        let listed = differing.keys().chain(aside.keys()).chain(worded.keys());
        let absent = listed.filter(|step| !played.contains_key(step));
        told.complaints.extend(absent.map(|step| format!("{name} {step}: there is no such step")));
        told
    }
}

/// Replaces texts that are exactly `of`.
fn replace(value: &mut Value, of: &str, by: &str) {
    match value {
        Value::String(text) if text == of => by.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, of, by)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, of, by)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn what_is_not_listed_fails_and_what_is_listed_in_vain_fails() {
    let listed = Differences(serde_json::json!({ "files": { "a": {
        "differences": [{ "steps": [1, 2], "reason": "ours is better" }],
        "later": [{ "steps": [3, 4], "reason": "not there yet" }],
        "follows": [{ "steps": [9], "reason": "of the above" }],
        "wording": [{ "steps": [0, 1], "begins": "x", "reason": "says more" }],
    } } }));
    let different = || Outcome::Different("how".to_owned());
    let played = Played::from([
        (0, Outcome::Same),
        (1, different()),
        (2, Outcome::Same),
        (3, different()),
        (4, Outcome::Same),
        (5, different()),
        (6, Outcome::Impossible),
    ]);
    let told = listed.compared("a", &played);
    assert_eq!((told.matching, told.counted), (1, 6));
    assert_eq!(told.complaints.len(), 6, "{:?}", told.complaints);
    for step in ["a 1", "a 2", "a 4", "a 5", "a 6", "a 9"] {
        let about = told.complaints.iter().any(|complaint| complaint.starts_with(step));
        assert!(about, "{step}: {:?}", told.complaints);
    }
    assert_eq!(listed.complaints(&["b"]), ["a: there is no such scenario"]);
}
