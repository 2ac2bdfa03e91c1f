//! All policies of a token as one list, and the decision on a request.
//!
//! One rule decides alone: the one that speaks of the path most exactly. A path that is written out goes before any
//! pattern. Of two patterns, the first of these that they differ in decides, as Vault has it: the one whose first `+`
//! or `*` comes later; the one that does not end in `*`; the one with fewer `+`; the longer; the later in the alphabet.
//!
//! Patterns are therefore kept under the text before their first `+` or `*`, their head. The heads that a path begins
//! with are looked at from the longest to the shortest, and under a head the patterns in their order, so the first
//! that matches is the one. Nothing is allocated for it, nor for what a rule says of parameters.
//!
//! What is listed is named with a `/` at its end or without. A rule that speaks of either speaks of the list, and the
//! same order holds among them: no broader rule outdoes a narrower one by the `/`.
//!
//! Where names are the same in any case, rules and requests are compared in lower case ([`caseless`]).

mod caseless;
mod pattern;
mod spelling;

use super::document::{Policy, Rule, Wrapping};
use super::name::PolicyName;
use super::parameters::{Parameters, Wrong};
use super::template::{self, Facts};
use super::{Capabilities, Capability, Right};
use caseless::folded;
pub use caseless::is_caseless;
use pattern::{Pattern, Shape};
use serde_json::{Map, Value};
use spelling::{Room, spellings};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// What the policies of a token allow.
#[derive(Debug, Default)]
pub struct Acl {
    root: bool,
    exact: BTreeMap<Box<str>, Grant>,
    /// Patterns by their heads, each list in the order in which they are tried.
    patterns: BTreeMap<Box<str>, Vec<Pattern>>,
    /// The same in lower case, for names that are the same in any case; `None` if nothing is different then.
    caseless: Option<Box<Self>>,
    /// Whether something was to be filled in, so that it is good for one caller.
    filled_in: bool,
    /// Why nothing can be decided, and everything is refused.
    undecidable: Option<Undecidable>,
}

/// Why nothing can be decided. What would be denied is not known, so everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecidable {
    /// A rule denies a path that cannot be filled in for this caller.
    Unfilled(Source),
    /// The policy of this name is there, and cannot be read.
    Unreadable(String),
    /// There are more policies than can be compiled.
    TooMany(usize),
}

/// What all rules of one path say together.
#[derive(Debug)]
pub struct Grant {
    path: Box<str>,
    capabilities: Capabilities,
    parameters: Parameters,
    wrapping: Wrapping,
    sources: Vec<Source>,
}

/// Where a rule is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The policy.
    pub policy: PolicyName,
    /// The line of its text.
    pub line: usize,
    /// The path, as it is written there.
    pub path: String,
    /// What it grants.
    pub capabilities: Capabilities,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The path, without `/v1/`.
    pub path: &'a str,
    /// What is to be done there.
    pub capability: Capability,
    /// With what.
    pub parameters: Option<&'a Map<String, Value>>,
    /// How long the answer is to be wrapped; `None` if it is not.
    pub wrap_ttl: Option<Duration>,
    /// What the route needs besides.
    pub right: Right,
}

/// What was decided, and by which rule.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// What was decided.
    pub verdict: Verdict<'a>,
    /// The rules that decided; `None` if none speaks of the path, or the caller may do everything.
    pub grant: Option<&'a Grant>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It may be done.
    Allowed,
    /// No rule speaks of the path.
    Unmatched,
    /// The path is denied.
    Denied,
    /// The rule of the path does not grant this.
    Lacks(Capability),
    /// A parameter, or its value, is not as the rule wants it.
    Parameter(Wrong<'a>),
    /// The answer is not to be wrapped for as long as the rule wants it.
    Wrapping,
    /// Nothing can be decided for this caller.
    Undecidable(&'a Undecidable),
}

impl Verdict<'_> {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

impl Grant {
    /// Returns the path as it is written.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns what is granted.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Returns where the rules are written that say so.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Returns the names of the policies that grant this.
    #[must_use]
    pub fn granting(&self, capability: Capability) -> Vec<String> {
        let sources = self.sources.iter().filter(|source| source.capabilities.has(capability));
        let mut names: Vec<_> = sources.map(|source| source.policy.as_str().to_owned()).collect();
        names.dedup();
        names
    }

    fn add(&mut self, policy: &PolicyName, rule: &Rule) {
        self.sources.push(Source::of(policy, rule));
        self.capabilities = self.capabilities.union(rule.capabilities);
        self.parameters.merge(&rule.parameters);
        // The shorter bound of each, as in Vault.
        let shorter = |one: Option<Duration>, two: Option<Duration>| match (one, two) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        self.wrapping = Wrapping {
            min: shorter(self.wrapping.min, rule.wrapping.min),
            max: shorter(self.wrapping.max, rule.wrapping.max),
        };
    }

    fn verdict<'a>(&'a self, question: &Question<'a>) -> Verdict<'a> {
        if self.capabilities.has(Capability::Deny) {
            return Verdict::Denied;
        }
        match question.right {
            Right::Own => return Verdict::Allowed,
            Right::Sudo if !self.capabilities.has(Capability::Sudo) => {
                return Verdict::Lacks(Capability::Sudo);
            }
            // Whoever shows a token where none is needed may do what it may.
            Right::Sudo | Right::Policy | Right::Nothing => {}
        }
        if !self.capabilities.has(question.capability) {
            return Verdict::Lacks(question.capability);
        }
        let Wrapping { min, max } = self.wrapping;
        let wrapped = question.wrap_ttl;
        if min.is_some_and(|min| wrapped.is_none_or(|wrapped| wrapped < min))
            || max.is_some_and(|max| wrapped.is_none_or(|wrapped| wrapped > max))
        {
            return Verdict::Wrapping;
        }
        let wrong = match question.capability {
            Capability::Create | Capability::Patch | Capability::Read | Capability::Update => {
                self.parameters.fault_of(question.parameters)
            }
            // What must be there is for who writes: in Vault a deletion takes no parameters.
            Capability::Delete => self.parameters.unwanted_of(question.parameters),
            Capability::Deny | Capability::List | Capability::Sudo => None,
        };
        wrong.map_or(Verdict::Allowed, Verdict::Parameter)
    }
}

impl Source {
    fn of(policy: &PolicyName, rule: &Rule) -> Self {
        Self {
            policy: policy.clone(),
            line: rule.line,
            path: rule.path.clone(),
            capabilities: rule.capabilities,
        }
    }
}

impl Acl {
    /// Allows everything.
    #[must_use]
    pub fn root() -> Self {
        Self { root: true, ..Self::default() }
    }

    /// Refuses everything, for the policy of this name cannot be read.
    #[must_use]
    pub fn refusing(policy: &str) -> Self {
        let undecidable = Some(Undecidable::Unreadable(policy.to_owned()));
        Self { undecidable, ..Self::default() }
    }

    /// Refuses everything, for there are so many policies.
    #[must_use]
    pub fn overfull(policies: usize) -> Self {
        Self { undecidable: Some(Undecidable::TooMany(policies)), ..Self::default() }
    }

    /// Compiles policies for a caller of whom this is known.
    pub fn compile<'p>(policies: impl IntoIterator<Item = &'p Policy>, facts: &Facts) -> Self {
        let mut acl = Self::default();
        let mut rules = Vec::new();
        for policy in policies {
            for rule in &policy.rules {
                let path = if template::is_template(&rule.path) {
                    acl.filled_in = true;
                    facts.fill(&rule.path).map(Cow::Owned)
                } else {
                    Some(Cow::Borrowed(rule.path.as_str()))
                };
                match path {
                    Some(path) => rules.push((path, &policy.name, rule)),
                    // Nobody is this caller, so it grants nothing; but what it denies is not known.
                    None if rule.capabilities.has(Capability::Deny) => {
                        let source = Source::of(&policy.name, rule);
                        acl.undecidable.get_or_insert(Undecidable::Unfilled(source));
                    }
                    None => {}
                }
            }
        }
        let written = rules.iter().map(|(path, name, rule)| (&**path, *name, *rule));
        let lower: Vec<_> = rules.iter().map(|(path, ..)| folded(path)).collect();
        let lower = lower.iter().zip(written.clone());
        if lower.clone().any(|(lower, (path, ..))| lower != path) {
            let mut caseless = Self::default();
            caseless.take(lower.map(|(path, (_, name, rule))| (&**path, name, rule)));
            acl.caseless = Some(Box::new(caseless));
        }
        acl.take(written);
        acl
    }

    /// Takes in all rules, each with its path and its policy.
    fn take<'r>(&mut self, rules: impl Iterator<Item = (&'r str, &'r PolicyName, &'r Rule)>) {
        let mut grants = BTreeMap::<Box<str>, Grant>::new();
        for (path, policy, rule) in rules {
            Grant::entry(&mut grants, path.into()).add(policy, rule);
        }
        for (path, grant) in grants {
            self.insert(path, grant);
        }
        self.patterns.values_mut().for_each(|patterns| patterns.sort_by(Pattern::order));
    }

    fn insert(&mut self, path: Box<str>, grant: Grant) {
        match Shape::of(&path) {
            Shape::Exact => {
                self.exact.insert(path, grant);
            }
            Shape::Pattern { text, head, open, pluses } => {
                let at = text.get(..head).unwrap_or(text).into();
                let pattern = Pattern { text: text.into(), head, open, pluses, grant };
                self.patterns.entry(at).or_default().push(pattern);
            }
        }
    }

    /// Whether it is good for one caller alone: something of theirs was filled in, or nothing that was to be.
    #[must_use]
    pub fn is_filled_in(&self) -> bool {
        self.filled_in
    }

    /// Whether it allows everything.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// Decides.
    #[must_use]
    pub fn decide<'a>(&'a self, question: &Question<'a>) -> Decision<'a> {
        if self.root {
            return Decision { verdict: Verdict::Allowed, grant: None };
        }
        if let Some(undecidable) = &self.undecidable {
            return Decision { verdict: Verdict::Undecidable(undecidable), grant: None };
        }
        let (rules, path) = self.rules_for(question.path);
        let (mut room, listed) = (Room::default(), question.capability == Capability::List);
        let (path, also) = spellings(&path, listed, &mut room);
        let grant = rules.matching(path, also).next();
        let verdict = match (grant, question.right) {
            (Some(grant), _) => grant.verdict(question),
            (None, Right::Own) => Verdict::Allowed,
            (None, Right::Policy | Right::Sudo | Right::Nothing) => Verdict::Unmatched,
        };
        Decision { verdict, grant }
    }

    /// Returns what is granted at a path, whatever is asked with. A path that ends in `/` is one that is listed.
    #[must_use]
    pub fn capabilities(&self, path: &str) -> Capabilities {
        if self.root || self.undecidable.is_some() {
            return Capabilities::default();
        }
        let (rules, path) = self.rules_for(path);
        let mut room = Room::default();
        let (path, also) = spellings(&path, path.ends_with('/'), &mut room);
        rules.matching(path, also).next().map_or_else(Capabilities::default, Grant::capabilities)
    }

    /// Returns all rules that speak of what is asked, the one that decides first.
    pub fn speaking<'a>(&'a self, question: &Question<'_>) -> Vec<&'a Grant> {
        let (rules, path) = self.rules_for(question.path);
        let (mut room, listed) = (Room::default(), question.capability == Capability::List);
        let (path, also) = spellings(&path, listed, &mut room);
        rules.matching(path, also).collect()
    }

    /// Whether anything is granted at or below a path that ends in `/`.
    #[must_use]
    pub fn reaches(&self, path: &str) -> bool {
        let exact = self.exact.range::<str, _>((Bound::Included(path), Bound::Unbounded));
        let exact = exact.take_while(|(at, _)| at.starts_with(path)).map(|(_, grant)| grant);
        let patterns = self.patterns.values().flatten().filter(|pattern| pattern.reaches(path));
        let mut grants = exact.chain(patterns.map(|pattern| &pattern.grant));
        self.root
            || self.undecidable.is_none() && grants.any(|grant| grant.capabilities.grant_anything())
    }

    /// Returns what is granted at paths that are written out, by path.
    pub fn exact(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        self.exact.iter().map(|(path, grant)| (&**path, grant.capabilities))
    }

    /// Returns what is granted by patterns, by pattern. The `*` at the end of one without `+` is left out, as Vault's
    /// clients expect.
    pub fn patterns(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        let patterns = self.patterns.values().flatten();
        patterns.map(|pattern| {
            let written = if pattern.pluses == 0 { &pattern.text } else { &pattern.grant.path };
            (&**written, pattern.grant.capabilities)
        })
    }

    /// Returns the rules that a path is compared with, and how it is written for that.
    fn rules_for<'q>(&self, path: &'q str) -> (&Self, Cow<'q, str>) {
        if !is_caseless(path) {
            return (self, Cow::Borrowed(path));
        }
        (self.caseless.as_deref().unwrap_or(self), folded(path))
    }

    /// Returns the rules that speak of a path, or of another spelling of it, which is its beginning; the one that
    /// decides first.
    fn matching<'a, 'q>(
        &'a self,
        path: &'q str,
        also: Option<&'q str>,
    ) -> impl Iterator<Item = &'a Grant> + use<'a, 'q> {
        let exact = self.exact.get(path);
        let other = also.and_then(|also| self.exact.get(also));
        let patterns = self.heads_of(path).flatten();
        let patterns = patterns.filter(move |pattern| {
            pattern.matches(path) || also.is_some_and(|also| pattern.matches(also))
        });
        exact.into_iter().chain(other).chain(patterns.map(|pattern| &pattern.grant))
    }

    /// Returns the patterns under the heads that a path begins with, from the longest head to the shortest.
    fn heads_of<'a, 'q>(
        &'a self,
        path: &'q str,
    ) -> impl Iterator<Item = &'a [Pattern]> + use<'a, 'q> {
        let mut rest = Some(path);
        let mut skip: Option<&'a str> = None;
        std::iter::from_fn(move || {
            loop {
                let to = match skip {
                    Some(head) => Bound::Excluded(head),
                    None => Bound::Included(rest?),
                };
                let below = (Bound::Unbounded, to);
                let (head, patterns) = self.patterns.range::<str, _>(below).next_back()?;
                if path.starts_with(&**head) {
                    skip = Some(head);
                    return Some(patterns.as_slice());
                }
                // What is left are beginnings of the path that end where it and this head part, or before.
                skip = None;
                rest = Some(common(path, head));
            }
        })
    }
}

impl Grant {
    fn entry(grants: &mut BTreeMap<Box<str>, Self>, path: Box<str>) -> &mut Self {
        grants.entry(path.clone()).or_insert_with(|| Self {
            path,
            capabilities: Capabilities::default(),
            parameters: Parameters::default(),
            wrapping: Wrapping::default(),
            sources: Vec::new(),
        })
    }
}

/// Returns what two texts begin with alike.
fn common<'a>(one: &'a str, other: &str) -> &'a str {
    let alike = one.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    let length = alike.fold(0_usize, |length, (char, _)| length.saturating_add(char.len_utf8()));
    one.get(..length).unwrap_or(one)
}

#[cfg(test)]
#[path = "acl/tests.rs"]
mod tests;
