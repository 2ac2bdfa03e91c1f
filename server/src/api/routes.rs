//! The route table: which paths there are, what they answer to, and who may come without a token.

use super::caller::Call;
use super::envelope::Reply;
use super::error::Refusal;
use super::{Broker, database, sys, token};
use crate::wiring::Server;
use actix_web::http::StatusCode;
use leasehold_core::access::policy::Need;
use leasehold_core::audit::Operation;
use leasehold_core::tasks::Pending;
use serde_json::{Map, Value};
use std::future::ready;
use std::sync::Arc;

/// The longest name of a role or a target, in bytes: it is part of a key of the store.
const NAME_MAX: usize = 512;

/// Serves an authenticated request.
pub(super) type Endpoint = for<'a> fn(&'a Call) -> Pending<'a, Result<Reply, Refusal>>;
/// Serves a request that needs no token.
pub(super) type OpenEndpoint = for<'a> fn(&'a Open) -> Pending<'a, Result<Reply, Refusal>>;

/// A request that needs no token.
pub(super) struct Open {
    pub(super) server: Arc<Server>,
    pub(super) query: Map<String, Value>,
    pub(super) body: Map<String, Value>,
}

/// A path that needs a token.
struct Route {
    path: &'static str,
    tail: Tail,
    /// What even a request that cannot be parsed needs, so as to be told so.
    need: Need,
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
    /// Anything, and then this.
    Before(&'static str),
}

/// A path that needs no token.
pub(super) struct OpenRoute {
    path: &'static str,
    read: Option<OpenEndpoint>,
    update: Option<OpenEndpoint>,
}

const fn at(path: &'static str, tail: Tail) -> Route {
    Route { path, tail, need: Need::Policy, read: None, list: None, update: None, delete: None }
}

/// A path about the caller's own token.
const fn own(path: &'static str) -> Route {
    Route { need: Need::OwnToken, ..at(path, Tail::End) }
}

impl Route {
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

/// **Invariant:** what is in this list, and nothing else, is answered without a token.
const OPEN: [OpenRoute; 4] = [
    OpenRoute {
        path: "sys/health",
        read: Some(|open| Box::pin(ready(sys::health::read(open)))),
        update: None,
    },
    OpenRoute {
        path: "sys/seal-status",
        read: Some(|open| Box::pin(ready(Ok(sys::seal_status::read(open))))),
        update: None,
    },
    OpenRoute {
        path: "sys/leader",
        read: Some(|open| Box::pin(ready(Ok(sys::leader::read(open))))),
        update: None,
    },
    OpenRoute {
        path: "sys/init",
        read: Some(|open| Box::pin(ready(Ok(sys::init::read(open))))),
        update: Some(|open| Box::pin(sys::init::update(open))),
    },
];

const SYS: [Route; 12] = [
    at("sys/mounts", Tail::End).read(|call| Box::pin(sys::mounts::list(call))),
    at("sys/mounts/", Tail::Before("/tune")).read(|call| Box::pin(sys::mounts::read_tune(call))),
    at("sys/mounts/", Tail::Rest)
        .read(|call| Box::pin(sys::mounts::read(call)))
        .update(|call| Box::pin(sys::mounts::enable(call)))
        .delete(|call| Box::pin(sys::mounts::disable(call))),
    at("sys/leases/lookup", Tail::End)
        .update(|call| Box::pin(sys::leases_lookup::update(call)))
        .list(|call| Box::pin(sys::leases_list::list(call))),
    at("sys/leases/lookup/", Tail::Rest)
        .update(|call| Box::pin(sys::leases_lookup::update(call)))
        .list(|call| Box::pin(sys::leases_list::list(call))),
    at("sys/leases/renew", Tail::End).update(|call| Box::pin(sys::leases_renew::update(call))),
    at("sys/leases/renew/", Tail::Rest).update(|call| Box::pin(sys::leases_renew::update(call))),
    at("sys/leases/revoke", Tail::End).update(|call| Box::pin(sys::leases_revoke::update(call))),
    at("sys/leases/revoke/", Tail::Rest).update(|call| Box::pin(sys::leases_revoke::update(call))),
    at("sys/leases/revoke-prefix/", Tail::Rest)
        .update(|call| Box::pin(sys::leases_revoke_prefix::update(call))),
    at("sys/leases/revoke-force/", Tail::Rest)
        .update(|call| Box::pin(sys::leases_revoke_force::update(call))),
    at("sys/internal/ui/mounts/", Tail::Rest).read(|call| Box::pin(sys::mounts::preflight(call))),
];

const TOKEN: [Route; 5] = [
    at("auth/token/create", Tail::End).update(|call| Box::pin(token::create::update(call))),
    at("auth/token/create-orphan", Tail::End)
        .update(|call| Box::pin(token::create::update_orphan(call))),
    own("auth/token/lookup-self")
        .read(|call| Box::pin(token::lookup_self::read(call)))
        .update(|call| Box::pin(token::lookup_self::read(call))),
    own("auth/token/renew-self").update(|call| Box::pin(token::renew_self::update(call))),
    own("auth/token/revoke-self").update(|call| Box::pin(token::revoke_self::update(call))),
];

/// Behind the path of a mount of the type `database`.
const DATABASE: [Route; 5] = [
    at("creds/", Tail::Name).read(|call| Box::pin(database::creds::read(call))),
    at("config", Tail::End).list(|call| Box::pin(database::config::list(call))),
    at("config/", Tail::Name)
        .read(|call| Box::pin(database::config::read(call)))
        .update(|call| Box::pin(database::config::write(call)))
        .delete(|call| Box::pin(database::config::delete(call))),
    at("roles", Tail::End).list(|call| Box::pin(database::roles::list(call))),
    at("roles/", Tail::Name)
        .read(|call| Box::pin(database::roles::read(call)))
        .update(|call| Box::pin(database::roles::write(call)))
        .delete(|call| Box::pin(database::roles::delete(call))),
];

/// What a path leads to.
pub(super) struct Found {
    /// The path, as policies and the audit see it.
    pub(super) path: String,
    pub(super) operation: Operation,
    /// What the path names.
    pub(super) name: String,
    /// The mount that it goes to.
    pub(super) mount: String,
    pub(super) need: Need,
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

/// Returns the open route at a path.
pub(super) fn open(path: &str) -> Option<&'static OpenRoute> {
    const { &OPEN }.iter().find(|route| route.path == path)
}

impl OpenRoute {
    pub(super) fn endpoint(&self, operation: Operation) -> Option<OpenEndpoint> {
        match operation {
            Operation::Read => self.read,
            Operation::Update => self.update,
            Operation::List | Operation::Delete | Operation::Revoke => None,
        }
    }
}

/// Finds out where an authenticated request goes.
pub(super) fn find(broker: &Broker, path: String, operation: Operation) -> Found {
    let nowhere = |path: String, nowhere| Found {
        path,
        operation,
        name: String::new(),
        mount: String::new(),
        need: Need::Policy,
        endpoint: Err(nowhere),
    };
    let (mount, rest, routes): (_, _, &'static [Route]) = if path.starts_with("sys/") {
        (String::new(), path.as_str(), const { &SYS })
    } else if path.starts_with("auth/token/") {
        (String::new(), path.as_str(), const { &TOKEN })
    } else {
        let catalog = broker.catalog();
        match catalog.route(&path) {
            Some((entry, rest)) => (entry.mount.record.path.clone(), rest, const { &DATABASE }),
            None => return nowhere(path, Nowhere::Mount),
        }
    };
    let Picked { endpoint, need, name } = pick(routes, rest, operation);
    Found { path, operation, name, mount, need, endpoint }
}

struct Picked {
    endpoint: Result<Endpoint, Nowhere>,
    need: Need,
    name: String,
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
        return Picked { endpoint, need: Need::Policy, name: String::new() };
    };
    let endpoint = match operation {
        Operation::Read => route.read,
        Operation::List => route.list,
        Operation::Update => route.update,
        Operation::Delete => route.delete,
        Operation::Revoke => None,
    };
    let endpoint = endpoint.ok_or(Nowhere::Operation);
    Picked { endpoint, need: route.need, name: name.to_owned() }
}

impl Route {
    /// Returns what a path names, if it is of this route.
    fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.path)?;
        match self.tail {
            Tail::End => rest.is_empty().then_some(rest),
            Tail::Name => is_name(rest).then_some(rest),
            Tail::Rest => Some(rest.trim_end_matches('/')).filter(|rest| !rest.is_empty()),
            Tail::Before(end) => rest.strip_suffix(end).filter(|rest| !rest.is_empty()),
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
mod tests {
    use super::*;

    fn leads(
        routes: &'static [Route],
        path: &str,
        operation: Operation,
    ) -> Result<String, Nowhere> {
        let Picked { endpoint, name, .. } = pick(routes, path, operation);
        endpoint.map(|_| name)
    }

    #[test]
    fn a_path_leads_to_its_endpoint_and_names_what_it_is_about() {
        use Operation::{Delete, List, Read, Update};
        let named = |name: &str| Ok(name.to_owned());
        for (routes, path, operation, expected) in [
            (&DATABASE[..], "creds/app", Read, named("app")),
            (&DATABASE[..], "creds/app", Update, Err(Nowhere::Operation)),
            (&DATABASE[..], "creds/", Read, Err(Nowhere::Path)),
            (&DATABASE[..], "creds", List, Err(Nowhere::Path)),
            (&DATABASE[..], "creds/team/app", Read, Err(Nowhere::Path)),
            (&DATABASE[..], "creds/-app", Read, Err(Nowhere::Path)),
            (&DATABASE[..], "roles", List, named("")),
            (&DATABASE[..], "roles/", List, named("")),
            (&DATABASE[..], "roles", Read, Err(Nowhere::Operation)),
            (&DATABASE[..], "roles/a.b-c_d", Delete, named("a.b-c_d")),
            (&DATABASE[..], "config/", Update, Err(Nowhere::Folder)),
            (&SYS[..], "sys/mounts/a/b", Update, named("a/b")),
            (&SYS[..], "sys/mounts/a/b/tune", Read, named("a/b")),
            (&SYS[..], "sys/mounts/a/tune", Update, Err(Nowhere::Operation)),
            (&SYS[..], "sys/mounts/", Read, Err(Nowhere::Path)),
            (&SYS[..], "sys/leases/renew/a/creds/b/c", Update, named("a/creds/b/c")),
            (&SYS[..], "sys/leases/revoke-prefix/a/", Update, named("a")),
            (&SYS[..], "sys/leases/lookup/a/creds/", List, named("a/creds")),
            (&SYS[..], "sys/unknown", Read, Err(Nowhere::Path)),
            (&TOKEN[..], "auth/token/create/x", Update, Err(Nowhere::Path)),
        ] {
            assert_eq!(leads(routes, path, operation), expected, "{path} {operation:?}");
        }
    }
}
