//! What is answered: Vault's envelope, all keys always present.

use actix_web::http::StatusCode;
use futures_core::stream::BoxStream;
use leasehold_core::access::token::Wrapped;
use leasehold_core::chance::Chance;
use leasehold_core::store::StoreError;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// What nearly every body is.
pub(super) const JSON: &str = "application/json";

/// An answer, as bytes.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// Empty for an answer without one.
    pub(super) body: Vec<u8>,
    /// What the body is.
    pub(super) kind: &'static str,
    /// Bytes that are sent as they come, in place of the body.
    pub(super) stream: Option<Parts>,
    /// What the request made that is good only for whoever reads this: it ends if the answer is wrapped and nobody
    /// takes it out.
    pub(super) made: Wrapped,
}

/// A body that comes in parts.
pub(super) struct Parts(pub(super) BoxStream<'static, Result<Vec<u8>, StoreError>>);

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts(..)")
    }
}

/// The envelope of every answer that has data.
#[derive(Serialize)]
pub(super) struct Envelope<'a, D: Serialize> {
    request_id: &'a str,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: Option<D>,
    /// What is wrapped is told in place of this.
    wrap_info: Option<()>,
    warnings: Option<Vec<String>>,
    auth: Option<Value>,
}

impl<'a, D: Serialize> Envelope<'a, D> {
    /// An answer to this request.
    pub(super) fn to(request_id: &'a str) -> Self {
        Self {
            request_id,
            lease_id: "",
            renewable: false,
            lease_duration: 0,
            data: None,
            wrap_info: None,
            warnings: None,
            auth: None,
        }
    }

    pub(super) fn data(self, data: D) -> Self {
        Self { data: Some(data), ..self }
    }

    pub(super) fn lease(self, lease_id: &'a str, duration: Duration) -> Self {
        Self { lease_id, renewable: true, lease_duration: duration.as_secs(), ..self }
    }

    /// Whether the lease can be renewed; one that is told of can be, unless this says otherwise.
    pub(super) fn renewable(self, renewable: bool) -> Self {
        Self { renewable, ..self }
    }

    pub(super) fn auth(self, auth: Value) -> Self {
        Self { auth: Some(auth), ..self }
    }

    /// Adds warnings; none at all are told as `null`.
    pub(super) fn warnings(self, warnings: impl IntoIterator<Item = String>) -> Self {
        let mut all = self.warnings.unwrap_or_default();
        all.extend(warnings);
        Self { warnings: (!all.is_empty()).then_some(all), ..self }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::json(StatusCode::OK, self)
    }
}

impl<'a> Envelope<'a, Value> {
    /// An answer that shows its data at the top level as well, as some of Vault's do.
    pub(super) fn with_data_on_top(request_id: &'a str, data: Map<String, Value>) -> Reply {
        Self::to(request_id).data(Value::Object(data)).on_top()
    }

    /// The same of one that says more.
    pub(super) fn on_top(&self) -> Reply {
        let mut body = self.data.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        if let Ok(Value::Object(envelope)) = serde_json::to_value(self) {
            body.extend(envelope);
        }
        Reply::json(StatusCode::OK, &body)
    }
}

impl Reply {
    /// An answer with a body, which ends in a newline as Vault's do.
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { body, ..Self::bare(status) }
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Self::bare(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// The request made something for whoever reads the answer.
    pub(super) fn made(self, made: Wrapped) -> Self {
        Self { made, ..self }
    }

    /// Done, and nothing to tell.
    pub(super) fn done() -> Self {
        Self::bare(StatusCode::NO_CONTENT)
    }

    /// Done, and told with what there is to warn of, if there is anything.
    pub(super) fn done_but(request_id: &str, warnings: impl IntoIterator<Item = String>) -> Self {
        let told = Envelope::<()>::to(request_id).warnings(warnings);
        if told.warnings.is_none() { Self::done() } else { told.reply() }
    }

    /// It is kept and goes on by itself.
    pub(super) fn accepted() -> Self {
        Self::bare(StatusCode::ACCEPTED)
    }

    /// An answer that is no JSON.
    pub(super) fn text(status: StatusCode, kind: &'static str, text: String) -> Self {
        Self { body: text.into_bytes(), kind, ..Self::bare(status) }
    }

    /// Bytes, sent as they come.
    pub(super) fn stream(parts: BoxStream<'static, Result<Vec<u8>, StoreError>>) -> Self {
        let (kind, stream) = ("application/octet-stream", Some(Parts(parts)));
        Self { kind, stream, ..Self::bare(StatusCode::OK) }
    }

    fn bare(status: StatusCode) -> Self {
        Self { status, body: Vec::new(), kind: JSON, stream: None, made: Wrapped::Answer }
    }
}

/// Names a request: a UUID, as Vault's clients expect.
pub(super) fn request_id(chance: &dyn Chance) -> String {
    let mut bytes = [0; 16];
    chance.fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
