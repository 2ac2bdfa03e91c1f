//! What policies are to allow and to refuse, written down beside them, so that a change of theirs can be tested.
//!
//! ```hcl
//! case "the application reads its role" {
//!   policies   = ["app"]
//!   path       = "database/creds/app"
//!   capability = "read"
//!   allowed    = true
//! }
//! ```

use super::acl::{Acl, Question};
use super::document::{Policy, object, texts};
use super::name::PolicyName;
use super::syntax::{Item, Node, read};
use super::template::Facts;
use super::{BadPolicy, Capability, Fault, Right};
use serde_json::{Map, Value};

/// Something that policies are to allow, or to refuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// The line it begins in.
    pub line: usize,
    /// The policies of who asks; all there are if it names none.
    pub policies: Option<Vec<PolicyName>>,
    path: String,
    capability: Capability,
    sudo: bool,
    parameters: Map<String, Value>,
    facts: Facts,
    allowed: bool,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was decided, and why.
    pub decided: String,
}

impl Case {
    /// Reads cases, in HCL or JSON.
    pub fn parse(text: &str) -> Result<Vec<Self>, BadPolicy> {
        let (mut cases, mut faults) = (Vec::new(), Vec::new());
        for item in read(text)? {
            match (item.name.as_str(), item.labels.as_slice(), &item.node) {
                ("case", [name], Node::Items(items)) => {
                    push(Self::of(name, item.line, items), &mut cases, &mut faults);
                }
                ("case", [], Node::Items(named)) => {
                    for item in named {
                        let Node::Items(items) = &item.node else { continue };
                        push(Self::of(&item.name, item.line, items), &mut cases, &mut faults);
                    }
                }
                _ => faults.push(Fault {
                    line: item.line,
                    message: "there is nothing but `case \"name\" { … }`".to_owned(),
                }),
            }
        }
        if faults.is_empty() { Ok(cases) } else { Err(BadPolicy(faults)) }
    }

    fn of(name: &str, line: usize, items: &[Item]) -> Result<Self, Fault> {
        let (mut path, mut capability, mut allowed) = (None, None, None);
        let mut case = Self {
            name: name.to_owned(),
            line,
            policies: None,
            path: String::new(),
            capability: Capability::Read,
            sudo: false,
            parameters: Map::new(),
            facts: Facts::default(),
            allowed: false,
        };
        for item in items {
            let wrong = |message: &str| Fault {
                line: item.line,
                message: format!("case {name:?}: {message}"),
            };
            match (item.name.as_str(), &item.node) {
                ("path", Node::Text(text)) => path = Some(text.clone()),
                ("capability", Node::Text(word)) => {
                    let known = Capability::of_word(word).filter(|one| *one != Capability::Deny);
                    let none = || wrong(&format!("{word:?} is nothing that can be done"));
                    capability = Some(known.ok_or_else(none)?);
                }
                ("allowed", Node::Flag(flag)) => allowed = Some(*flag),
                ("sudo", Node::Flag(flag)) => case.sudo = *flag,
                ("parameters", Node::Items(items)) => case.parameters = object(items),
                ("facts", Node::Items(items)) => {
                    let facts = object(items).into_iter();
                    let text = |value: Value| value.as_str().map(str::to_owned);
                    case.facts =
                        facts.filter_map(|(name, fact)| Some((name, text(fact)?))).collect();
                }
                ("policies", node) => {
                    let names = texts(node).ok_or_else(|| wrong("policies are a list of texts"))?;
                    let names = names.into_iter().map(PolicyName::parse).collect::<Result<_, _>>();
                    case.policies = Some(names.map_err(|error| wrong(&error.to_string()))?);
                }
                (other, _) => {
                    return Err(wrong(&format!(
                        "{other:?} is not a field of a case, or holds something else; there are `path`, `capability`, \
                         `allowed`, `sudo`, `policies`, `parameters` and `facts`"
                    )));
                }
            }
        }
        let lacks =
            |field: &str| Fault { line, message: format!("case {name:?} has no `{field}`") };
        case.path = path.ok_or_else(|| lacks("path"))?;
        case.capability = capability.ok_or_else(|| lacks("capability"))?;
        case.allowed = allowed.ok_or_else(|| lacks("allowed"))?;
        Ok(case)
    }

    /// Puts the case to policies.
    pub fn test<'p>(&self, policies: impl IntoIterator<Item = &'p Policy>) -> Tested {
        let acl = Acl::compile(policies, &self.facts);
        let question = Question {
            path: &self.path,
            capability: self.capability,
            parameters: Some(&self.parameters),
            wrap_ttl: None,
            right: if self.sudo { Right::Sudo } else { Right::Policy },
        };
        let decision = acl.decide(&question);
        let passed = decision.verdict.is_allowed() == self.allowed;
        Tested { passed, decided: decision.to_string() }
    }
}

fn push(case: Result<Case, Fault>, cases: &mut Vec<Case>, faults: &mut Vec<Fault>) {
    match case {
        Ok(case) => cases.push(case),
        Err(fault) => faults.push(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_put_to_policies() {
        let text = "path \"db/creds/app\" { capabilities = [\"read\"] }
            path \"sys/seal\" { capabilities = [\"update\"] }
            path \"own/{{identity.entity.name}}\" { capabilities = [\"update\"] denied_parameters = { \"x\" = [] } }";
        let policy = Policy::parse(PolicyName::parse("app").unwrap(), text).unwrap();
        let cases = Case::parse(
            r#"
            case "reads" { path = "db/creds/app" capability = "read" allowed = true }
            case "writes" { path = "db/creds/app" capability = "update" allowed = true policies = ["App"] }
            case "seals" { path = "sys/seal" capability = "update" sudo = true allowed = false }
            case "own" { path = "own/ann" capability = "update" allowed = true facts = { "identity.entity.name" = "ann" } }
            case "denied" { path = "own/ann" capability = "update" allowed = false parameters = { x = 1 }
                facts = { "identity.entity.name" = "ann" } }
            "#,
        );
        let cases = cases.unwrap();
        let tested: Vec<_> = cases.iter().map(|case| case.test([&policy])).collect();
        let passed: Vec<_> = tested.iter().map(|tested| tested.passed).collect();
        assert_eq!(passed, [true, false, true, true, true], "{tested:?}");
        assert!(tested[1].decided.ends_with("grants read, and not update"), "{tested:?}");
        assert_eq!(cases[1].policies.as_ref().unwrap()[0].as_str(), "app");
        let json = r#"{"case":{"reads":{"path":"a","capability":"read","allowed":false}}}"#;
        assert!(Case::parse(json).unwrap()[0].test([&policy]).passed);
    }

    #[test]
    fn a_case_that_says_too_little_or_too_much_is_told_with_its_line() {
        for (text, told) in [
            ("case \"a\" {\n}", "line 1: case \"a\" has no `path`"),
            ("case \"a\" { path = \"x\" capability = \"read\" }", "has no `allowed`"),
            ("case \"a\" {\n path = 5 }", "line 2: case \"a\": \"path\" is not a field"),
            ("case \"a\" { capability = \"fly\" }", "\"fly\" is nothing that can be done"),
            ("other = 1", "there is nothing but `case"),
        ] {
            let bad = Case::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(bad.contains(told), "{text}: {bad}");
        }
    }
}
