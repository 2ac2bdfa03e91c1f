//! Reads the text of a policy: HCL or JSON, Vault's fields, and nothing that would be without effect.

use super::name::PolicyName;
use super::parameters::{Constraints, Parameters, merge};
use super::syntax::{Item, Node, read};
use super::template::Facts;
use super::{BadPolicy, Capabilities, Capability, Fault, template};
use crate::duration::parse_seconds;
use crate::limits::{POLICY_BYTES_MAX, POLICY_RULES_MAX};
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest path of a rule, in bytes: that of a request.
const PATH_MAX: usize = 4096;

/// What a rule may say besides what is read below, in Vault's other editions. To leave it out would allow more than
/// the policy does there.
const NOT_YET: [&str; 7] = [
    "control_group",
    "expiration",
    "list_scan_response_keys_filter_path",
    "mfa_methods",
    "pagination_limit",
    "response_keys_filter_path",
    "subscribe_event_types",
];

/// A policy: rules, under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it is called.
    pub name: PolicyName,
    /// Its rules, as they were written.
    pub(super) rules: Vec<Rule>,
}

/// What may be done at a path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// As it was written, without a `/` before it.
    pub(super) path: String,
    /// The line it stands in.
    pub(super) line: usize,
    pub(super) capabilities: Capabilities,
    pub(super) parameters: Parameters,
    pub(super) wrapping: Wrapping,
}

/// How long the answer must be wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrapping {
    /// At least.
    pub(super) min: Option<Duration>,
    /// At most.
    pub(super) max: Option<Duration>,
}

impl Policy {
    /// Reads the text of a policy, and says all that is wrong with it.
    pub fn parse(name: PolicyName, text: &str) -> Result<Self, BadPolicy> {
        if text.len() > POLICY_BYTES_MAX {
            let message =
                format!("a policy has at most {POLICY_BYTES_MAX} bytes, not {}", text.len());
            return Err(Fault { line: 1, message }.into());
        }
        let mut reader = Reader::default();
        for item in read(text)? {
            reader.top(&item);
        }
        if reader.faults.is_empty() {
            Ok(Self { name, rules: reader.rules })
        } else {
            Err(BadPolicy(reader.faults))
        }
    }

    /// Returns how many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the rules that have nothing to say of a caller of whom only this is known, and what they lack.
    #[must_use]
    pub fn unfilled(&self, facts: &Facts) -> Vec<Fault> {
        let templates = self.rules.iter().filter(|rule| template::is_template(&rule.path));
        let unfilled = templates.filter(|rule| facts.fill(&rule.path).is_none());
        let told = |rule: &Rule| {
            let lacking = facts.lacking(&rule.path).join(", ");
            let lacking =
                if lacking.is_empty() { "what is known leads elsewhere" } else { &lacking };
            let (line, path) = (rule.line, &rule.path);
            Fault { line, message: format!("path {path:?} is not filled in: {lacking}") }
        };
        unfilled.map(told).collect()
    }

    /// Returns what may surprise in its rules, though it is allowed.
    #[must_use]
    pub fn warnings(&self) -> Vec<Fault> {
        let inner = |path: &str| path.trim_end_matches('*').contains('*');
        let odd = self.rules.iter().filter(|rule| inner(&rule.path));
        odd.map(|rule| Fault {
            line: rule.line,
            message: format!(
                "path {:?}: a `*` means something at the end only; here it stands for itself, and `+` for one segment",
                rule.path
            ),
        })
        .collect()
    }
}

#[derive(Default)]
struct Reader {
    rules: Vec<Rule>,
    faults: Vec<Fault>,
}

impl Reader {
    fn wrong(&mut self, line: usize, message: impl Into<String>) {
        self.faults.push(Fault { line, message: message.into() });
    }

    fn top(&mut self, item: &Item) {
        match (item.name.as_str(), item.labels.as_slice(), &item.node) {
            ("path", [], node) => self.several(item.line, node),
            ("path", [path], node) => self.rule(path, item.line, node),
            // Kept by Vault for nothing.
            ("name", [], Node::Text(_)) => {}
            ("path", ..) => self.wrong(item.line, "a `path` has one path"),
            (other, ..) => {
                self.wrong(item.line, format!("invalid key {other:?}; there is only `path`"));
            }
        }
    }

    /// Reads rules that are the items of an object, as JSON has them.
    fn several(&mut self, line: usize, node: &Node) {
        match node {
            Node::Items(items) => {
                for item in items {
                    match item.labels.as_slice() {
                        [] => self.rule(&item.name, item.line, &item.node),
                        _ => self.wrong(item.line, "a `path` has one path"),
                    }
                }
            }
            Node::List(nodes) => nodes.iter().for_each(|node| self.several(line, node)),
            Node::Null | Node::Flag(_) | Node::Number(_) | Node::Text(_) => {
                self.wrong(line, "`path` needs a path and what may be done there");
            }
        }
    }

    fn rule(&mut self, path: &str, line: usize, node: &Node) {
        let items = match node {
            Node::Items(items) => items.as_slice(),
            // JSON may write a block as a list of one; of more, each is a rule.
            Node::List(nodes) => {
                return nodes.iter().for_each(|node| self.rule(path, line, node));
            }
            Node::Null | Node::Flag(_) | Node::Number(_) | Node::Text(_) => {
                return self
                    .wrong(line, format!("path {path:?}: what may be done there is missing"));
            }
        };
        let mut rule = Rule {
            path: path.strip_prefix('/').unwrap_or(path).to_owned(),
            line,
            capabilities: Capabilities::default(),
            parameters: Parameters::default(),
            wrapping: Wrapping::default(),
        };
        if let Some(message) = fault_of_path(&rule.path) {
            self.wrong(line, format!("path {path:?}: {message}"));
        }
        for item in items {
            if let Err(message) = field(&mut rule, item) {
                self.wrong(item.line, format!("path {path:?}: {message}"));
            }
        }
        let Wrapping { min, max } = rule.wrapping;
        if min.zip(max).is_some_and(|(min, max)| max < min) {
            let message =
                format!("path {path:?}: max_wrapping_ttl cannot be less than min_wrapping_ttl");
            self.wrong(line, message);
        }
        if self.rules.len() == POLICY_RULES_MAX {
            self.wrong(line, format!("a policy has at most {POLICY_RULES_MAX} rules"));
        }
        self.rules.push(rule);
    }
}

fn fault_of_path(path: &str) -> Option<String> {
    if path.len() > PATH_MAX {
        return Some(format!("a path has at most {PATH_MAX} bytes"));
    }
    if path.contains("+*") {
        return Some("`+*` is forbidden: end the path in `*`, or in `+/*`".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Some("a path has no control characters".to_owned());
    }
    template::fault_of(path)
}

/// Reads a field of a rule.
fn field(rule: &mut Rule, item: &Item) -> Result<(), String> {
    let name = item.name.as_str();
    if !item.labels.is_empty() {
        return Err(format!("{name:?} is a field: write `{name} = …`"));
    }
    match name {
        "capabilities" => {
            for word in texts(&item.node).ok_or("capabilities are a list of texts")? {
                let capability = Capability::of_word(word)
                    .ok_or_else(|| format!("invalid capability {word:?}{}", known_words()))?;
                rule.capabilities = rule.capabilities.with(capability);
            }
        }
        "policy" => {
            let old = match &item.node {
                Node::Text(word) => {
                    old_word(word).ok_or_else(|| format!("invalid policy {word:?}"))
                }
                Node::Null | Node::Flag(_) | Node::Number(_) | Node::List(_) | Node::Items(_) => {
                    Err("`policy` is `read`, `write`, `sudo` or `deny`".to_owned())
                }
            }?;
            rule.capabilities = rule.capabilities.union(old);
        }
        "allowed_parameters" => rule.parameters.allowed = constraints(name, &item.node)?,
        "denied_parameters" => rule.parameters.denied = constraints(name, &item.node)?,
        "required_parameters" => {
            let names = texts(&item.node).ok_or("required_parameters are a list of texts")?;
            rule.parameters.required = names.into_iter().map(str::to_ascii_lowercase).collect();
        }
        "min_wrapping_ttl" => rule.wrapping.min = span(name, &item.node)?,
        "max_wrapping_ttl" => rule.wrapping.max = span(name, &item.node)?,
        "comment" => match &item.node {
            Node::Text(_) => {}
            Node::Null | Node::Flag(_) | Node::Number(_) | Node::List(_) | Node::Items(_) => {
                return Err("a comment is a text".to_owned());
            }
        },
        later if NOT_YET.contains(&later) => {
            return Err(format!(
                "`{later}` is not supported; without it the policy would allow more than it says"
            ));
        }
        other => return Err(format!("invalid key {other:?}")),
    }
    Ok(())
}

fn known_words() -> String {
    let words: Vec<_> = Capability::ALL.into_iter().map(Capability::word).collect();
    format!("; there is {}", words.join(", "))
}

/// What rules said before there were capabilities.
fn old_word(word: &str) -> Option<Capabilities> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    let all: &[Capability] = match word {
        "deny" => &[Deny],
        "read" => &[Read, List],
        "write" => &[Create, Read, Update, Delete, List],
        "sudo" => &[Create, Read, Update, Delete, List, Sudo],
        _ => return None,
    };
    Some(all.iter().copied().collect())
}

pub(super) fn texts(node: &Node) -> Option<Vec<&str>> {
    let Node::List(nodes) = node else { return None };
    let mut texts = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Node::Text(text) = node else { return None };
        texts.push(text.as_str());
    }
    Some(texts)
}

/// Reads parameters, each with the values it is about; with none it is about any.
fn constraints(name: &str, node: &Node) -> Result<Constraints, String> {
    let wrong = || format!("`{name}` is an object of lists: `{{ \"name\" = [\"value\"] }}`");
    let mut read = Constraints::new();
    let blocks = if let Node::List(nodes) = node { nodes } else { std::slice::from_ref(node) };
    for block in blocks {
        let Node::Items(items) = block else { return Err(wrong()) };
        for item in items {
            let Node::List(values) = &item.node else { return Err(wrong()) };
            if !item.labels.is_empty() {
                return Err(wrong());
            }
            let values = values.iter().map(value).collect();
            merge(&mut read, &Constraints::from([(item.name.to_ascii_lowercase(), values)]));
        }
    }
    Ok(read)
}

fn value(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Flag(flag) => Value::Bool(*flag),
        Node::Number(number) => Value::Number(number.clone()),
        Node::Text(text) => Value::String(text.clone()),
        Node::List(nodes) => Value::Array(nodes.iter().map(value).collect()),
        Node::Items(items) => Value::Object(object(items)),
    }
}

/// Reads items as the fields of an object.
pub(super) fn object(items: &[Item]) -> Map<String, Value> {
    items.iter().map(|item| (item.name.clone(), value(&item.node))).collect()
}

/// Reads a span of time; one of nothing sets no bound.
fn span(name: &str, node: &Node) -> Result<Option<Duration>, String> {
    let span =
        parse_seconds(&value(node)).map_err(|error| format!("error parsing {name}: {error}"))?;
    Ok((!span.is_zero()).then_some(span))
}

#[cfg(test)]
#[path = "document/tests.rs"]
mod tests;
