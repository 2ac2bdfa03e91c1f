//! Reads the body of a request, within bounds that are checked before anything is parsed.
//!
//! What a body takes of the memory that all of them share is given back only when what was made of it is dropped.

use super::budget::{Budget, Share};
use super::error::Refusal;
use super::query;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use leasehold_core::limits::BODY_ALWAYS;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest body, in bytes. Vault's bound.
const BODY_MAX: usize = 32 << 20;
/// The longest body that whoever knows nothing may send, in bytes: a login brings a name and a secret.
const BODY_OF_STRANGER_MAX: usize = 64 << 10;
/// How deep arrays and objects may nest. What operators write is three deep.
const DEPTH_MAX: usize = 64;
/// How many strings a body may hold, names of fields included: each costs an allocation, and the longest
/// lists that operators write have some hundreds.
const STRINGS_MAX: usize = 20_000;
/// How many values a body may hold: a number or a bracket takes 16 times its own byte in memory.
const VALUES_MAX: usize = 100_000;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The fields of a body, and what they take of the memory for bodies as long as they are held.
pub(super) struct Body {
    pub(super) fields: Map<String, Value>,
    pub(super) share: Share,
}

/// Who may send a body, as far as that is known before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Anybody: the path asks for no token, so one that comes along says nothing.
    Anybody,
    /// Whoever says that they have a token, good or not: that is told only once the request is whole.
    Holder,
    /// Somebody without a token, where one is needed.
    Stranger,
}

/// Reads a body; an empty one for requests that have none.
pub(super) async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    sender: Option<Sender>,
    budget: &Budget,
) -> Result<Body, Refusal> {
    let mut share = budget.share();
    let Some(sender) = sender else { return Ok(Body { fields: Map::new(), share }) };
    let most = sender.most();
    let fits = |length: usize, share: &mut Share| {
        if length > most {
            return Err(sender.too_large());
        }
        if length > BODY_ALWAYS && !share.grow_to(length) {
            let message = "too many large request bodies at once; try again";
            return Err(Refusal::told(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        Ok(())
    };
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|told| told.to_str().ok());
    if told.and_then(|told| told.parse().ok()).is_some_and(|length: usize| length > most) {
        return Err(sender.too_large());
    }
    let arriving = arrived(payload, |length| fits(length, &mut share));
    let bytes = actix_web::rt::time::timeout(BODY_WITHIN, arriving)
        .await
        .map_err(|_| Refusal::told(StatusCode::REQUEST_TIMEOUT, "the body took too long"))??;
    Ok(Body { fields: parse(&bytes, is_form(request))?, share })
}

impl Sender {
    /// Says who sends to a path, by whether it is open to all, and whether a token comes along.
    pub(super) fn of(is_open: bool, has_token: bool) -> Self {
        match (is_open, has_token) {
            (true, _) => Self::Anybody,
            (false, true) => Self::Holder,
            (false, false) => Self::Stranger,
        }
    }

    fn most(self) -> usize {
        match self {
            Self::Holder => BODY_MAX,
            Self::Anybody | Self::Stranger => BODY_OF_STRANGER_MAX,
        }
    }

    fn too_large(self) -> Refusal {
        let message = match self {
            Self::Holder => "the request body is larger than 32 MiB",
            Self::Anybody => "the request body is larger than 64 KiB, and the path is open to all",
            Self::Stranger => "the request body is larger than 64 KiB, and there is no token",
        };
        Refusal::told(StatusCode::PAYLOAD_TOO_LARGE, message)
    }
}

/// Takes a body in, as long as what has come of it fits.
async fn arrived(
    mut payload: web::Payload,
    mut fits: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_broken| bad("the body did not arrive whole".to_owned()))?;
        fits(bytes.len().saturating_add(chunk.len()))?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn is_form(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn parse(bytes: &[u8], form: bool) -> Result<Map<String, Value>, Refusal> {
    let body = bytes.trim_ascii();
    if body.is_empty() {
        return Ok(Map::new());
    }
    // `curl -d` says that it sends a form, whatever it sends.
    if form && !matches!(body.first(), Some(b'{' | b'[' | b'"')) {
        let written = std::str::from_utf8(body);
        return query::parse(written.map_err(|_| bad("the form is not UTF-8".to_owned()))?);
    }
    let json = |message: &str| bad(format!("failed to decode JSON input: {message}"));
    let wrong = |kind: &str| {
        json(&format!(
            "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        ))
    };
    if body.first() == Some(&b'[') {
        // However deep it nests.
        return Err(wrong("array"));
    }
    within_bounds(body)?;
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(Value::Array(_)) => Err(wrong("array")),
        Ok(Value::String(_)) => Err(wrong("string")),
        Ok(Value::Number(_)) => Err(wrong("number")),
        Ok(Value::Bool(_)) => Err(wrong("bool")),
        // The parser's messages tell places and kinds, and quote nothing.
        Err(error) => Err(json(&error.to_string())),
    }
}

/// Counts what a parser would have to build.
fn within_bounds(body: &[u8]) -> Result<(), Refusal> {
    let (mut depth, mut strings, mut values) = (0_usize, 0_usize, 0_usize);
    let mut in_string = false;
    let mut escaped = false;
    for byte in body {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                strings = strings.saturating_add(1);
            }
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                values = values.saturating_add(1);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values = values.saturating_add(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(bad(format!("the body nests deeper than {DEPTH_MAX}")));
        }
        if strings > STRINGS_MAX {
            return Err(bad(format!("the body holds more than {STRINGS_MAX} strings")));
        }
        if values > VALUES_MAX {
            return Err(bad(format!("the body holds more than {VALUES_MAX} values")));
        }
    }
    Ok(())
}

fn bad(message: String) -> Refusal {
    Refusal::told(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;
    use leasehold_core::limits::BODIES_MAX;
    use serde_json::json;

    #[tokio::test]
    async fn a_body_takes_of_the_memory_for_bodies_until_it_is_dropped() {
        let budget = Budget::default();
        let sent = json!({ "a": "x".repeat(20 << 20) }).to_string();
        let (request, mut payload) = TestRequest::post().set_payload(sent).to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        let body = read(&request, payload, Some(Sender::Holder), &budget).await.unwrap();
        assert_eq!(body.fields.get("a").and_then(Value::as_str).map(str::len), Some(20 << 20));
        let mut other = budget.share();
        assert!(!other.grow_to(BODIES_MAX - (20 << 20)));
        drop(body);
        assert!(other.grow_to(BODIES_MAX));
    }

    fn message(refusal: Refusal) -> String {
        String::from_utf8(refusal.into_reply().body).unwrap()
    }

    #[test]
    fn a_body_is_an_object_a_form_or_nothing() {
        for (body, form, read) in [
            (r#"{"a":1}"#, false, json!({ "a": 1 })),
            (r#" {"a":1} "#, true, json!({ "a": 1 })),
            (r#"{"a":1,"a":2}"#, false, json!({ "a": 2 })),
            ("a=1&b=x%20y", true, json!({ "a": "1", "b": "x y" })),
            ("null", false, json!({})),
            ("", false, json!({})),
        ] {
            assert_eq!(Value::Object(parse(body.as_bytes(), form).unwrap()), read, "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_in_vaults_words() {
        let deep = "[".repeat(1000);
        for (body, told) in [
            ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            (deep.as_str(), "json: cannot unmarshal array into Go value"),
            ("\"x\"", "json: cannot unmarshal string into Go value"),
            ("5", "json: cannot unmarshal number into Go value"),
            ("true", "json: cannot unmarshal bool into Go value"),
            ("{not json", "failed to decode JSON input: "),
            ("{}garbage", "failed to decode JSON input: "),
            ("{\"a\":\u{1}}", "failed to decode JSON input: "),
        ] {
            let refused = message(parse(body.as_bytes(), false).unwrap_err());
            assert!(refused.contains(told), "{body}: {refused}");
        }
    }

    #[test]
    fn cve_2025_6203_a_body_that_would_cost_too_much_is_not_parsed() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(message(parse(deep.as_bytes(), false).unwrap_err()).contains("nests deeper"));
        let strings = format!("{{\"a\":[{}\"\"]}}", "\"\",".repeat(STRINGS_MAX));
        assert!(message(parse(strings.as_bytes(), false).unwrap_err()).contains("strings"));
        let values = format!("{{\"a\":[{}0]}}", "0,".repeat(VALUES_MAX));
        assert!(message(parse(values.as_bytes(), false).unwrap_err()).contains("values"));
        let quoted = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(1000));
        assert!(parse(quoted.as_bytes(), false).is_ok());
    }

    #[test]
    fn what_is_refused_is_not_quoted() {
        for body in [r#"{"password":"canary"#, r#"{"password":canary}"#, r#""canary""#, "canary"] {
            assert!(!message(parse(body.as_bytes(), false).unwrap_err()).contains("canary"));
        }
    }
}
