//! HTTP, as Vault's clients speak it: which paths there are, and how a request goes from the wire to the
//! broker and back.
//!
//! An endpoint is one file below, and has three parts: parse, one call on [`Broker`], render. It runs in a
//! task of its own that [`serve`] only awaits, so a client that hangs up cancels nothing.

mod approle;
mod aws;
mod body;
mod budget;
mod caller;
mod cubbyhole;
mod database;
mod envelope;
mod error;
mod fields;
mod help;
mod identity;
mod limits;
mod path;
mod query;
mod routes;
mod standing;
mod sys;
mod token;
mod token_params;
mod userpass;
mod wrapping;

use crate::listener::Rules;
use crate::time::Stopwatch;
use crate::wiring::{Count, Node, Server};
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use body::{Body, Sender};
use budget::Budget;
use caller::Call;
use envelope::{Parts, Reply, request_id};
use error::Refusal;
use futures_util::StreamExt;
use leasehold_core::access::policy::Right;
use leasehold_core::audit::Operation;
use leasehold_core::broker::Broker;
use leasehold_core::quota::windows::Allowance;
use routes::Open;
pub use routes::{ListedPath, listed_paths};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

/// What every worker needs to serve.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// What the requests meet.
    pub(crate) server: Arc<Server>,
    /// Where long work runs, so that it keeps no other request waiting.
    pub(crate) runtime: Handle,
    /// The requests that are being served.
    pub(crate) serving: Count,
    /// What the bodies of requests may take together.
    bodies: Budget,
    ending: Arc<AtomicBool>,
    /// How each listener treats those who come in.
    rules: Arc<HashMap<SocketAddr, Rules>>,
}

impl Front {
    /// Serves from now on.
    pub(crate) fn new(
        server: Arc<Server>,
        runtime: Handle,
        rules: HashMap<SocketAddr, Rules>,
    ) -> Self {
        Self {
            server,
            runtime,
            serving: Count::new(),
            bodies: Budget::default(),
            ending: Arc::default(),
            rules: Arc::new(rules),
        }
    }

    /// Returns how the listener that a request came by treats it.
    fn rules(&self, request: &HttpRequest) -> Option<&Rules> {
        self.rules.get(&request.app_config().local_addr())
    }

    /// From now on every answer closes its connection: idle ones would hold up the end.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

/// What is known of a request besides its answer.
#[derive(Default)]
struct Met {
    /// Whether its caller has a good token.
    known: bool,
    /// How long its sender is refused, if they asked too often.
    refused_for: Option<Duration>,
    /// How often its sender may still ask, if callers are told.
    allowance: Option<Allowance>,
}

/// Serves one request.
pub(crate) async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    front: web::Data<Front>,
) -> HttpResponse {
    let _serving = front.serving.begin();
    let watch = Stopwatch::start();
    let headless = request.method() == Method::HEAD;
    let id = request_id(front.server.chance());
    // Of the level of errors, so that whatever is logged of a request carries its id.
    let span = tracing::error_span!("request", request_id = id, path = tracing::field::Empty);
    let mut met = Met::default();
    let answering = answer(&request, payload, &front, id, &mut met);
    let outcome = answering.instrument(span.clone()).await;
    let reply = outcome.unwrap_or_else(Refusal::into_reply);
    let took = watch.took();
    front.server.meters.http.answered(reply.status, took);
    span.in_scope(|| {
        let (method, status) = (request.method().as_str(), reply.status.as_u16());
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(method, status, took_us, "a request was answered");
    });
    let mut response = HttpResponse::build(reply.status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.insert_header((header::CONTENT_TYPE, reply.kind));
    if reply.status == StatusCode::METHOD_NOT_ALLOWED {
        response.insert_header((header::ALLOW, allowed(&request, &front.server)));
    }
    limits::tell(&met, reply.status, &mut response);
    // Only whoever showed a good token may keep a connection and what it costs: else strangers could hold as many as
    // there may be, and begin requests that never end on them.
    if !met.known || front.ending.load(Ordering::Relaxed) {
        response.force_close();
    }
    let mut response = match reply.stream {
        _ if headless => response.finish(),
        Some(Parts(parts)) => response.streaming(parts.map(|part| part.map(Bytes::from))),
        None => response.body(reply.body),
    };
    if let Some(rules) = front.rules(&request) {
        rules.headers.put(reply.status, response.headers_mut());
    }
    response
}

/// Returns the methods that a path answers to. It is asked only for answers that say already that the path is there,
/// or that the method is not one of any path's.
fn allowed(request: &HttpRequest, server: &Server) -> String {
    const ANY: [&str; 6] = ["GET", "HEAD", "LIST", "POST", "PUT", "DELETE"];
    let known = ANY.contains(&request.method().as_str());
    let path = path::decoded(request.uri().path()).ok().filter(|_| known);
    let methods = path.and_then(|path| {
        routes::open_methods(&path).or_else(|| match server.node() {
            Node::Uninitialized | Node::Sealed => None,
            Node::Unsealed(broker) => routes::described(&broker, &path).map(|(_, methods)| methods),
        })
    });
    methods.unwrap_or_else(|| ANY.to_vec()).join(", ")
}

/// Answers a request; tells as well what is known of it.
async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    front: &Front,
    id: String,
    met: &mut Met,
) -> Result<Reply, Refusal> {
    let path = path::decoded(request.uri().path())?;
    let rules = front.rules(request);
    let from = caller::sender(request, rules)?;
    let query = query::parse(request.query_string())?;
    let operation = caller::operation(request, &query)?;
    let server = &front.server;
    limits::check(request, &server.node(), &path, (&id, from), operation, met).await?;
    let shows_metrics = || rules.is_some_and(|rules| rules.open_metrics);
    let has_token = caller::has_token(request);
    let open = routes::open(&path, has_token)
        .or_else(|| routes::open_metrics(&path).filter(|_| shows_metrics()));
    // Who ends something that is open to all says by its body who they are.
    let has_body =
        operation == Operation::Update || (operation == Operation::Delete && open.is_some());
    let sender = has_body.then(|| {
        let is_open = open.is_some() || routes::is_login(&server.node(), &path);
        Sender::of(is_open, has_token)
    });
    let body = body::read(request, payload, sender, &front.bodies).await?;
    if let Some(open) = open {
        told_path(&path);
        let endpoint = open.endpoint(operation).ok_or(Refusal::no_such_method())?;
        let accept = caller::accept(request);
        let Body { fields: body, share } = body;
        let asked =
            caller::open_request(request, &server.node(), (id, from), path, operation, &body);
        let server = Arc::clone(server);
        let open = Open { server, query, body, accept, request: asked, _share: share };
        return run(&front.runtime, async move { endpoint(&open).await }).await;
    }
    let broker = match server.node() {
        Node::Uninitialized | Node::Sealed => return Err(Refusal::sealed()),
        Node::Unsealed(broker) => broker,
    };
    let found = if operation == Operation::Read && query.contains_key("help") {
        routes::find_help(&broker, &path)
    } else {
        routes::find(&broker, path, operation)
    };
    // A path that leads nowhere may hold anything, a token too.
    if found.endpoint.is_ok() {
        told_path(&found.path);
    }
    // Who logs in is known once they have, and a wrapping token that is not good is told by another status than one
    // that is.
    let is_login = found.right == Right::Nothing;
    let is_proof = is_login || found.path.starts_with("sys/wrapping/");
    let call = caller::call(request, front, (id, from), broker, found, query, body)?;
    // Reads are short, and asking another thread for each would cost as much again.
    let reads = operation == Operation::Read;
    let runtime = if reads { &Handle::current() } else { &front.runtime };
    let outcome = run(runtime, async move { call.served().await }).await;
    met.known = match &outcome {
        Ok(_) => true,
        Err(Refusal::Told { status, .. }) => !is_proof && *status != StatusCode::FORBIDDEN,
        Err(Refusal::Unasked { .. }) => !is_login,
    };
    outcome
}

/// Has whatever is logged of this request say where it goes.
fn told_path(path: &str) {
    Span::current().record("path", path);
}

/// Runs a request beside its client.
async fn run(
    runtime: &Handle,
    work: impl Future<Output = Result<Reply, Refusal>> + Send + 'static,
) -> Result<Reply, Refusal> {
    runtime.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not served to its end");
        Err(Refusal::told(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
    })
}

impl Call {
    /// Serves an authenticated request. What cannot be parsed, or is not there, is told only to those who
    /// could have been served.
    async fn served(self) -> Result<Reply, Refusal> {
        let refused = match self.endpoint {
            Ok(endpoint) => match endpoint(&self).await {
                Err(Refusal::Unasked { status, message }) => (status, message),
                Err(told) => return Err(told),
                Ok(reply) => return wrapping::told(&self, reply).await,
            },
            Err(nowhere) => (nowhere.status(), nowhere.message(&self.request.asked.path)),
        };
        let (status, message) = refused;
        self.broker.turn_away(&self.request, &message).await?;
        Err(Refusal::told(status, message))
    }
}
