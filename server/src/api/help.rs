//! `?help=1`: what a path is for, and which methods it answers to.

use super::caller::Call;
use super::envelope::Reply;
use super::error::Refusal;
use super::routes;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

pub(super) async fn read(call: &Call) -> Result<Reply, Refusal> {
    call.broker.let_pass(&call.request).await?;

    let path = call.request.asked.path.as_str();
    let (purpose, methods) = routes::described(&call.broker, path).ok_or(Refusal::nothing_here())?;
    let listed = methods.join(", ");
    let help = format!("Request:        {path}\n\n{purpose}\n\n## METHODS\n\n    {listed}\n");
    let answer =
        json!({ "help": help, "openapi": openapi(path, purpose, &methods), "see_also": null });
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// As much of an `OpenAPI` document as clients look for here.
fn openapi(path: &str, purpose: &str, methods: &[&str]) -> Value {
    let mut operations = Map::from_iter([("description".to_owned(), json!(purpose))]);
    // LIST is no method to OpenAPI, and what answers to PUT answers to POST.
    let known = methods.iter().filter(|method| !matches!(**method, "LIST" | "PUT" | "HEAD"));
    for method in known {
        let method = method.to_lowercase();
        let id = format!("{method}-{}", path.replace('/', "-"));
        let operation =
            json!({ "operationId": id, "responses": { "200": { "description": "OK" } } });
        operations.insert(method, operation);
    }
    json!({
        "openapi": "3.0.2",
        "info": {
            "title": "Leasehold API",
            "description": "HTTP API. All paths are prefixed with `/v1/`.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "paths": { (format!("/{path}")): operations },
        "components": { "schemas": {} },
    })
}
