//! Lists all paths of the tables, for tests that must look at each of them.

use super::engines::{AWS, DATABASE};
use super::identity::IDENTITY;
use super::methods::{APPROLE, USERPASS};
use super::revocations::REVOCATIONS;
use super::tables::{METRICS, OPEN, SYS};
use super::tokens::{CUBBYHOLE, TOKEN};
use super::{Right, Route, Tail};

/// A path that the server answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPath {
    /// The kind of mount that it is behind; empty where it is always there.
    pub behind: &'static str,
    /// The path below that mount, with `{name}` in place of what it names.
    pub path: String,
    /// The methods that it answers to.
    pub methods: Vec<&'static str>,
    /// Whether it is answered without a token.
    pub open: bool,
}

/// Returns every path of every table.
#[must_use]
pub fn listed_paths() -> Vec<ListedPath> {
    let always = SYS.iter().chain(&REVOCATIONS).chain(&TOKEN).chain(&CUBBYHOLE).chain(&IDENTITY);
    let of = |behind: &'static str, routes: &'static [Route]| {
        routes.iter().map(move |route| route.listed(behind))
    };
    let mut listed: Vec<_> = always.map(|route| route.listed("")).collect();
    listed.extend(of("database", const { &DATABASE }));
    listed.extend(of("aws", const { &AWS }));
    listed.extend(of("userpass", const { &USERPASS }));
    listed.extend(of("approle", const { &APPROLE }));
    listed.extend(OPEN.iter().chain([&METRICS]).map(|route| ListedPath {
        behind: "",
        path: route.path.to_owned(),
        methods: route.methods(),
        open: true,
    }));
    listed
}

impl Route {
    pub(super) fn listed(&self, behind: &'static str) -> ListedPath {
        let rest = match self.tail {
            Tail::End => String::new(),
            Tail::Name | Tail::Rest | Tail::Leaf => "{name}".to_owned(),
            Tail::Before(end) | Tail::NameBefore(end) => format!("{{name}}{end}"),
        };
        ListedPath {
            behind,
            path: format!("{}{rest}", self.path),
            methods: self.methods(),
            open: self.right == Right::Nothing,
        }
    }
}
