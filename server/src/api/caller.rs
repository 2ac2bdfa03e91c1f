//! Makes of an HTTP request what the broker is asked: who, what, from where.

use super::body::Body;
use super::budget::Share;
use super::error::Refusal;
use super::fields::Fields;
use super::routes::{Endpoint, Found, Nowhere};
use super::standing::Standing;
use super::{Broker, Front, wrapping};
use crate::listener::Rules;
use crate::wiring::{Node, Running, Server};
use actix_web::HttpRequest;
use actix_web::http::{Method, StatusCode, header};
use leasehold_core::access::policy::Right;
use leasehold_core::address::ClientAddress;
use leasehold_core::audit::{Asked, AskedHeader, AskedMount, Operation};
use leasehold_core::broker::{BadIdempotencyKey, IdempotencyKey, Request};
use leasehold_core::secret::SecretText;
use serde_json::{Map, Value};
use std::sync::Arc;

/// An authenticated request on its way to its endpoint.
pub(super) struct Call {
    pub(super) broker: Arc<Broker>,
    pub(super) request: Request,
    pub(super) server: Arc<Server>,
    /// What the path names: a role, a lease, a mount.
    pub(super) name: String,
    /// The mount that the path goes to, with its `/`; empty for paths that go to none.
    pub(super) mount: String,
    /// The kinds of answer that its client says it takes.
    pub(super) accept: String,
    pub(super) endpoint: Result<Endpoint, Nowhere>,
    /// Counts it among those that the broker serves.
    _running: Running,
    /// Holds what its body takes of the memory for bodies.
    _share: Share,
}

impl Call {
    /// Returns the fields that came with it.
    pub(super) fn fields(&self) -> Fields<'_> {
        match &self.request.asked.data {
            Some(Value::Object(fields)) => Fields::new(fields),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            )
            | None => Fields::none(),
        }
    }

    /// Returns what names it in its answer.
    pub(super) fn id(&self) -> &str {
        &self.request.asked.id
    }
}

/// Says what kind of request this is: a `GET` with a true `list` in its query is a list.
pub(super) fn operation(
    request: &HttpRequest,
    query: &Map<String, Value>,
) -> Result<Operation, Refusal> {
    let method = request.method();
    let listed = method == Method::GET && Fields::new(query).flag("list")?.unwrap_or_default();
    if listed || method.as_str() == "LIST" {
        Ok(Operation::List)
    } else if method == Method::GET || method == Method::HEAD {
        Ok(Operation::Read)
    } else if method == Method::POST || method == Method::PUT {
        Ok(Operation::Update)
    } else if method == Method::DELETE {
        Ok(Operation::Delete)
    } else {
        Err(Refusal::no_such_method())
    }
}

/// Makes the call of a request.
pub(super) fn call(
    request: &HttpRequest,
    front: &Front,
    (id, from): (String, ClientAddress),
    broker: Arc<Broker>,
    found: Found,
    mut query: Map<String, Value>,
    body: Body,
) -> Result<Call, Refusal> {
    refuse_what_would_be_ignored(request)?;
    let idempotency_key = idempotency_key(request)?;
    let wrap_ttl = wrapping::asked(request)?;
    if idempotency_key.is_some() && wrap_ttl.is_some() {
        // One secret in two wrappings: it would be revoked by the one that nobody opens.
        let message = "`Idempotency-Key` and `X-Vault-Wrap-TTL` do not go together; leave one out";
        return Err(Refusal::told(StatusCode::BAD_REQUEST, message));
    }
    let Found { path, operation, name, mount, right, lends, endpoint } = found;
    // A HEAD must do nothing, and some reads create.
    let endpoint = if request.method() == Method::HEAD && lends {
        endpoint.and(Err(Nowhere::Operation))
    } else {
        endpoint
    };
    query.remove("list");
    query.extend(body.fields);
    let asked = Asked {
        id,
        operation,
        mount: asked_mount(&broker, &path, &mount),
        path,
        data: (!query.is_empty()).then_some(Value::Object(query)),
        headers: audited_headers(request, &broker),
        from: Some(from),
    };
    Ok(Call {
        broker,
        request: Request { asked, token: token(request), right, wrap_ttl, idempotency_key },
        server: Arc::clone(&front.server),
        name,
        mount,
        accept: accept(request),
        endpoint,
        _running: front.server.calls.begin(),
        _share: body.share,
    })
}

/// Says who sent a request.
pub(super) fn sender(
    request: &HttpRequest,
    rules: Option<&Rules>,
) -> Result<ClientAddress, Refusal> {
    let bad = |message: String| Refusal::told(StatusCode::BAD_REQUEST, message);
    let peer = request.peer_addr().ok_or_else(|| bad("the connection has no address".into()))?;
    let peer = ClientAddress::new(peer);
    let Some(forwarded) = rules.and_then(|rules| rules.forwarded.as_ref()) else { return Ok(peer) };
    let lines: Vec<_> = request.headers().get_all("X-Forwarded-For").collect();
    let lines = lines.iter().map(|line| line.as_bytes());
    forwarded.sender(peer, lines).map_err(|error| bad(error.to_string()))
}

/// Returns the headers of a request that are recorded.
fn audited_headers(request: &HttpRequest, broker: &Broker) -> Vec<AskedHeader> {
    let values = |name: &str| {
        let values = request.headers().get_all(name).map(header::HeaderValue::as_bytes);
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    };
    broker.catalog().audited_headers().pick(values)
}

/// Makes the request of a path that is open to all, for what is put on record of it.
pub(super) fn open_request(
    request: &HttpRequest,
    node: &Node,
    (id, from): (String, ClientAddress),
    path: String,
    operation: Operation,
    body: &Map<String, Value>,
) -> Request {
    let asked = Asked {
        id,
        operation,
        mount: None,
        path,
        data: (!body.is_empty()).then(|| Value::Object(body.clone())),
        headers: match node {
            Node::Unsealed(broker) => audited_headers(request, broker),
            Node::Uninitialized | Node::Sealed => Vec::new(),
        },
        from: Some(from),
    };
    // Without a share, to begin or to end what the holders of shares decide takes a token with `sudo`.
    Request { asked, token: token(request), right: Right::Sudo, ..Request::default() }
}

/// Returns the kinds of answer that a client says it takes, however many headers it says so in.
pub(super) fn accept(request: &HttpRequest) -> String {
    let told = request.headers().get_all(header::ACCEPT);
    told.filter_map(|told| told.to_str().ok()).collect::<Vec<_>>().join(",")
}

/// Tells whether a request came with a token, good or not.
pub(super) fn has_token(request: &HttpRequest) -> bool {
    token(request).is_some()
}

/// Returns the mount that a path goes to, as the audit shows it: `sys/mounts` shows the same accessor.
fn asked_mount(broker: &Broker, path: &str, mount: &str) -> Option<AskedMount> {
    if let Some(standing) = Standing::of(path) {
        let (point, kind) = (standing.point().to_owned(), standing.kind().to_owned());
        return Some(AskedMount { point, kind, accessor: standing.accessor(broker) });
    }
    let entry = broker.catalog().at(mount).map(Arc::clone)?;
    let record = &entry.mount.record;
    let (kind, accessor) = (record.kind.clone(), record.accessor());
    Some(AskedMount { point: mount.to_owned(), kind, accessor })
}

/// Returns the token that a request came with.
pub(super) fn token(request: &HttpRequest) -> Option<SecretText> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = || header(header::AUTHORIZATION.as_str())?.strip_prefix("Bearer ").map(str::trim);
    let text = header("X-Vault-Token").filter(|text| !text.is_empty()).or_else(bearer)?;
    (!text.is_empty()).then(|| SecretText::new(text.to_owned()))
}

/// Returns the key under which a request may be repeated. It is read on every path, so that a bad one tells nothing
/// of what is there.
fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Refusal> {
    let mut sent = request.headers().get_all("Idempotency-Key");
    let key = sent.next().map(|key| IdempotencyKey::parse(key.as_bytes())).transpose();
    // Of two keys, each would be another request.
    let key = if sent.next().is_some() { Err(BadIdempotencyKey) } else { key };
    key.map_err(|bad| Refusal::told(StatusCode::BAD_REQUEST, bad.to_string()))
}

/// To ignore a namespace would act in another place than meant.
fn refuse_what_would_be_ignored(request: &HttpRequest) -> Result<(), Refusal> {
    let bad = |message: &str| Err(Refusal::told(StatusCode::BAD_REQUEST, message));
    let namespace = request.headers().get("X-Vault-Namespace").map(header::HeaderValue::as_bytes);
    if namespace.is_some_and(|namespace| !matches!(namespace, b"" | b"/" | b"root" | b"root/")) {
        return bad("namespaces are not supported yet; leave `X-Vault-Namespace` out");
    }
    Ok(())
}
