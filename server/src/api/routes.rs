//! Finds out where a request goes: its path, its method, and who may come without a token.

mod engines;
mod identity;
mod listed;
mod methods;
mod revocations;
mod tables;
mod tokens;

use super::budget::Share;
use super::caller::Call;
use super::envelope::Reply;
use super::error::Refusal;
use super::{Broker, help};
use crate::wiring::{Node, Server};
use actix_web::http::StatusCode;
use engines::{AWS, DATABASE};
use identity::IDENTITY;
use leasehold_core::access::login::plain_name;
use leasehold_core::access::policy::{PolicyName, Right};
use leasehold_core::audit::Operation;
use leasehold_core::broker::Request;
use leasehold_core::tasks::Pending;
pub use listed::{ListedPath, listed_paths};
use methods::{APPROLE, USERPASS};
use revocations::REVOCATIONS;
use serde_json::{Map, Value};
use std::sync::Arc;
use tables::{METRICS, OPEN, SYS};
use tokens::{CUBBYHOLE, TOKEN};

/// The longest name of a role or a target, in bytes: it is part of a key of the store.
const NAME_MAX: usize = 512;
/// Stands between the accessor of a method and a name that is locked there.
pub(super) const UNLOCK: &str = "/unlock/";

/// Serves an authenticated request.
pub(super) type Endpoint = for<'a> fn(&'a Call) -> Pending<'a, Result<Reply, Refusal>>;
/// Serves a request that needs no token.
pub(super) type OpenEndpoint = for<'a> fn(&'a Open) -> Pending<'a, Result<Reply, Refusal>>;

/// A request that needs no token.
pub(super) struct Open {
    pub(super) server: Arc<Server>,
    pub(super) query: Map<String, Value>,
    pub(super) body: Map<String, Value>,
    /// The kinds of answer that its client says it takes.
    pub(super) accept: String,
    /// The request, for what is put on record. Its token may be good, or none.
    pub(super) request: Request,
    /// Holds what its body takes of the memory for bodies.
    pub(super) _share: Share,
}

impl Open {
    /// Returns the broker; a sealed store has none.
    pub(super) fn broker(&self) -> Result<Arc<Broker>, Refusal> {
        match self.server.node() {
            Node::Uninitialized | Node::Sealed => Err(Refusal::sealed()),
            Node::Unsealed(broker) => Ok(broker),
        }
    }
}

/// Returns a name as the broker knows it, however it is written; `None` for what is no name.
type Meant = fn(&str) -> Option<String>;

/// A path that needs a token.
pub(super) struct Route {
    path: &'static str,
    tail: Tail,
    /// What it is for, in one sentence, for whoever asks with `?help=1`.
    help: &'static str,
    /// Whether reading creates something: then there is no HEAD.
    lends: bool,
    /// What whoever asks needs, even to be told that the request cannot be parsed.
    right: Right,
    /// What needs `sudo` besides.
    sudo: &'static [Operation],
    /// The one way in which a name that follows is meant, if it can be written in several.
    meant: Option<Meant>,
    read: Option<Endpoint>,
    list: Option<Endpoint>,
    update: Option<Endpoint>,
    delete: Option<Endpoint>,
}

/// What follows a route's path.
#[derive(Clone, Copy)]
enum Tail {
    /// Nothing.
    End,
    /// A name: of a role, of a target.
    Name,
    /// Whatever it is: a lease id, a prefix, a mount's path.
    Rest,
    /// Anything that does not end in a slash.
    Leaf,
    /// Anything, and then this.
    Before(&'static str),
    /// A name, and then this.
    NameBefore(&'static str),
}

/// A path that needs no token.
pub(super) struct OpenRoute {
    path: &'static str,
    /// Whoever has a token is shown more by the page of the same path that needs one.
    only_without_token: bool,
    read: Option<OpenEndpoint>,
    update: Option<OpenEndpoint>,
    delete: Option<OpenEndpoint>,
}

const fn open_at(path: &'static str) -> OpenRoute {
    OpenRoute { path, only_without_token: false, read: None, update: None, delete: None }
}

const fn at(path: &'static str, tail: Tail, help: &'static str) -> Route {
    Route {
        path,
        tail,
        help,
        lends: false,
        right: Right::Policy,
        sudo: &[],
        meant: None,
        read: None,
        list: None,
        update: None,
        delete: None,
    }
}

impl Route {
    /// To ask needs nothing but a good token, whose policies do not deny it.
    const fn own(self) -> Self {
        Self { right: Right::Own, ..self }
    }
    /// These operations need `sudo` besides.
    const fn sudo(self, operations: &'static [Operation]) -> Self {
        Self { sudo: operations, ..self }
    }
    const fn names_policy(self) -> Self {
        let meant: Meant = |name| PolicyName::parse(name).ok().map(|name| name.to_string());
        Self { meant: Some(meant), ..self }
    }
    /// What follows is a name that is the same in any case.
    const fn names_plainly(self) -> Self {
        Self { meant: Some(|name| Some(plain_name(name))), ..self }
    }
    /// What follows is that of a header of requests.
    const fn names_header(self) -> Self {
        Self { meant: Some(|name| Some(name.to_ascii_lowercase())), ..self }
    }
    /// What follows is the accessor of a method, and a name that is locked there.
    const fn names_locked(self) -> Self {
        let meant: Meant = |text| {
            let (accessor, name) = text.split_once(UNLOCK)?;
            Some(format!("{accessor}{UNLOCK}{}", plain_name(name)))
        };
        Self { meant: Some(meant), ..self }
    }
    /// To ask needs no token: the request brings what proves who asks.
    const fn login(self) -> Self {
        Self { right: Right::Nothing, ..self }
    }
    const fn lends(self) -> Self {
        Self { lends: true, ..self }
    }
    const fn read(self, endpoint: Endpoint) -> Self {
        Self { read: Some(endpoint), ..self }
    }
    const fn list(self, endpoint: Endpoint) -> Self {
        Self { list: Some(endpoint), ..self }
    }
    const fn update(self, endpoint: Endpoint) -> Self {
        Self { update: Some(endpoint), ..self }
    }
    const fn delete(self, endpoint: Endpoint) -> Self {
        Self { delete: Some(endpoint), ..self }
    }
}

/// What a path leads to.
pub(super) struct Found {
    /// The path, as policies and the audit see it.
    pub(super) path: String,
    pub(super) operation: Operation,
    /// What the path names.
    pub(super) name: String,
    /// The mount that it goes to.
    pub(super) mount: String,
    pub(super) right: Right,
    /// Whether reading creates something.
    pub(super) lends: bool,
    pub(super) endpoint: Result<Endpoint, Nowhere>,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// No mount is there.
    Mount,
    /// The mount has no such path.
    Path,
    /// The path does not answer to the method.
    Operation,
    /// A path that ends in `/` can only be listed.
    Folder,
}

impl Nowhere {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Mount | Self::Path => StatusCode::NOT_FOUND,
            Self::Operation => StatusCode::METHOD_NOT_ALLOWED,
            Self::Folder => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn message(self, path: &str) -> String {
        match self {
            Self::Mount => format!("no handler for route {path:?}. route entry not found."),
            Self::Path => "1 error occurred:\n\t* unsupported path\n\n".to_owned(),
            Self::Operation => "1 error occurred:\n\t* unsupported operation\n\n".to_owned(),
            Self::Folder => "cannot write to a path ending in '/'".to_owned(),
        }
    }
}

/// Returns the open route at a path. Some are open only to those who come without a token.
pub(super) fn open(path: &str, has_token: bool) -> Option<&'static OpenRoute> {
    const { &OPEN }
        .iter()
        .find(|route| route.path == path && !(has_token && route.only_without_token))
}

/// Returns the page of the metrics, if that is at the path.
pub(super) fn open_metrics(path: &str) -> Option<&'static OpenRoute> {
    const { &METRICS }.path.eq(path).then_some(const { &METRICS })
}

impl OpenRoute {
    pub(super) fn endpoint(&self, operation: Operation) -> Option<OpenEndpoint> {
        match operation {
            Operation::Read => self.read,
            Operation::Update => self.update,
            Operation::Delete => self.delete,
            Operation::List | Operation::Revoke => None,
        }
    }

    fn methods(&self) -> Vec<&'static str> {
        let (reads, writes) = (self.read.is_some(), self.update.is_some());
        let methods = [("GET", reads), ("HEAD", reads), ("POST", writes), ("PUT", writes)];
        let all = methods.into_iter().chain([("DELETE", self.delete.is_some())]);
        all.filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }

    const fn read(self, endpoint: OpenEndpoint) -> Self {
        Self { read: Some(endpoint), ..self }
    }
    const fn update(self, endpoint: OpenEndpoint) -> Self {
        Self { update: Some(endpoint), ..self }
    }
    const fn delete(self, endpoint: OpenEndpoint) -> Self {
        Self { delete: Some(endpoint), ..self }
    }
}

/// Finds out where an authenticated request goes.
pub(super) fn find(broker: &Broker, path: String, operation: Operation) -> Found {
    let Some((mount, rest, routes)) = behind(broker, &path) else {
        return Found::nowhere(path, operation, Nowhere::Mount);
    };
    let Picked { endpoint, right, lends, name, meant } = pick(routes, &rest, operation);
    let mut path = as_meant(path, &rest, meant);
    // A `/` at the end means nothing to what is found, so it may mean nothing to the policies either.
    if endpoint.is_ok() && operation != Operation::List && path.ends_with('/') {
        path.pop();
    }
    Found { path, operation, name, mount, right, lends, endpoint }
}

/// Returns a path with what it names written as the broker knows it.
///
/// **Invariant:** policies, quotas and the audit see this path and no other, so that none of them can be passed by
/// another way of writing what the broker takes for the same.
pub(super) fn meant(broker: &Broker, path: &str) -> String {
    let Some((_, rest, routes)) = behind(broker, path) else { return path.to_owned() };
    let meant = matching(routes, &rest).and_then(|(route, name)| route.with_meant(name));
    as_meant(path.to_owned(), &rest, meant)
}

/// Puts into a path what the rest of it means, if that can be written in several ways.
fn as_meant(path: String, rest: &str, meant: Option<String>) -> String {
    let Some((meant, before)) = meant.zip(path.strip_suffix(rest)) else { return path };
    let slash = if path.ends_with('/') { "/" } else { "" };
    format!("{before}{meant}{slash}")
}

/// Whether a path is one of those by which whoever has no token gets one.
pub(super) fn is_login(node: &Node, path: &str) -> bool {
    let Node::Unsealed(broker) = node else { return false };
    let Some((_, rest, routes)) = behind(broker, path) else { return false };
    matching(routes, &rest).is_some_and(|(route, _)| route.right == Right::Nothing)
}

/// Finds out who tells what a path is for.
pub(super) fn find_help(broker: &Broker, path: &str) -> Found {
    let found = behind(broker, path).map(|(_, rest, routes)| matching(routes, &rest).is_some());
    let path = meant(broker, path);
    let nowhere = match found {
        None => Nowhere::Mount,
        Some(false) => Nowhere::Path,
        Some(true) => {
            let endpoint: Endpoint = |call| Box::pin(help::read(call));
            let found = Found::nowhere(path, Operation::Read, Nowhere::Path);
            return Found { right: Right::Own, endpoint: Ok(endpoint), ..found };
        }
    };
    Found::nowhere(path, Operation::Read, nowhere)
}

/// Returns what a path is for, and the methods it answers to.
pub(super) fn described(broker: &Broker, path: &str) -> Option<(&'static str, Vec<&'static str>)> {
    let (_, rest, routes) = behind(broker, path)?;
    let (route, _) = matching(routes, &rest)?;
    Some((route.help, route.methods()))
}

/// Returns the methods that an open path answers to.
pub(super) fn open_methods(path: &str) -> Option<Vec<&'static str>> {
    open(path, false).map(OpenRoute::methods)
}

/// Returns the mount that a path goes to, what follows, and the routes that are there.
fn behind(broker: &Broker, path: &str) -> Option<(String, String, &'static [Route])> {
    if path == "sys/revocations" || path.starts_with("sys/revocations/") {
        return Some((String::new(), path.to_owned(), const { &REVOCATIONS }));
    }
    if path.starts_with("sys/") {
        return Some((String::new(), path.to_owned(), const { &SYS }));
    }
    if path.starts_with("auth/token/") {
        return Some((String::new(), path.to_owned(), const { &TOKEN }));
    }
    if path == "cubbyhole" || path.starts_with("cubbyhole/") {
        return Some((String::new(), path.to_owned(), const { &CUBBYHOLE }));
    }
    if path.starts_with("identity/") {
        return Some((String::new(), path.to_owned(), const { &IDENTITY }));
    }
    let catalog = broker.catalog();
    let (entry, rest) = catalog.route(path)?;
    let routes: &'static [Route] = match entry.mount.record.kind.as_str() {
        "approle" => const { &APPROLE },
        "aws" => const { &AWS },
        "userpass" => const { &USERPASS },
        _ => const { &DATABASE },
    };
    Some((entry.mount.record.path.clone(), rest.to_owned(), routes))
}

impl Found {
    fn nowhere(path: String, operation: Operation, nowhere: Nowhere) -> Self {
        Self {
            path,
            operation,
            name: String::new(),
            mount: String::new(),
            right: Right::Policy,
            lends: false,
            endpoint: Err(nowhere),
        }
    }
}

struct Picked {
    endpoint: Result<Endpoint, Nowhere>,
    right: Right,
    lends: bool,
    name: String,
    /// What follows the mount, with the name as the broker knows it.
    meant: Option<String>,
}

fn matching<'a>(routes: &'static [Route], path: &'a str) -> Option<(&'static Route, &'a str)> {
    let at = |path: &'a str| routes.iter().find_map(|route| Some((route, route.matches(path)?)));
    // What can be listed may be written with a slash.
    at(path).or_else(|| at(path.strip_suffix('/')?).filter(|(route, _)| route.list.is_some()))
}

fn pick(routes: &'static [Route], path: &str, operation: Operation) -> Picked {
    let listed = match operation {
        Operation::List => path.strip_suffix('/').unwrap_or(path),
        Operation::Read | Operation::Update | Operation::Delete | Operation::Revoke => path,
    };
    let found = routes.iter().find_map(|route| Some((route, route.matches(listed)?)));
    let Some((route, name)) = found else {
        let folder = operation == Operation::Update && path.ends_with('/');
        let endpoint = Err(if folder { Nowhere::Folder } else { Nowhere::Path });
        let name = String::new();
        return Picked { endpoint, right: Right::Policy, lends: false, name, meant: None };
    };
    let endpoint = match operation {
        Operation::Read => route.read,
        Operation::List => route.list,
        Operation::Update => route.update,
        Operation::Delete => route.delete,
        Operation::Revoke => None,
    };
    let endpoint = endpoint.ok_or(Nowhere::Operation);
    Picked {
        endpoint,
        right: route.right_to(operation),
        lends: route.lends,
        name: name.to_owned(),
        meant: route.with_meant(name),
    }
}

impl Route {
    fn right_to(&self, operation: Operation) -> Right {
        if self.sudo.contains(&operation) { Right::Sudo } else { self.right }
    }

    /// Returns a path of this route by the name that a written one means.
    fn with_meant(&self, name: &str) -> Option<String> {
        let end = match self.tail {
            Tail::Before(end) | Tail::NameBefore(end) => end,
            Tail::End | Tail::Name | Tail::Rest | Tail::Leaf => "",
        };
        Some(format!("{}{}{end}", self.path, self.meant?(name)?))
    }

    fn methods(&self) -> Vec<&'static str> {
        let methods = [
            ("GET", self.read.is_some() || self.list.is_some()),
            ("HEAD", self.read.is_some() && !self.lends),
            ("LIST", self.list.is_some()),
            ("POST", self.update.is_some()),
            ("PUT", self.update.is_some()),
            ("DELETE", self.delete.is_some()),
        ];
        methods.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
    }

    /// Returns what a path names, if it is of this route.
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.path)?;
        match self.tail {
            Tail::End => rest.is_empty().then_some(rest),
            Tail::Name => is_name(rest).then_some(rest),
            Tail::Rest => Some(rest.trim_end_matches('/')).filter(|rest| !rest.is_empty()),
            Tail::Leaf => Some(rest).filter(|rest| !rest.is_empty() && !rest.ends_with('/')),
            Tail::Before(end) => rest.strip_suffix(end).filter(|rest| !rest.is_empty()),
            Tail::NameBefore(end) => rest.strip_suffix(end).filter(|rest| is_name(rest)),
        }
    }
}

/// Vault's names: word characters, and `-` and `.` between them.
fn is_name(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = text.as_bytes();
    text.len() <= NAME_MAX
        && bytes.first().is_some_and(word)
        && bytes.last().is_some_and(word)
        && bytes.iter().all(|byte| word(byte) || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
#[path = "routes/tests.rs"]
mod tests;
