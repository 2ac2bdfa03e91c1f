//! A server's answer, and how it is shown: as a table, as JSON, or one bare field of it.

use crate::commands::Format;
use crate::duration::show_seconds;
use crate::failure::Failure;
use crate::output::Output;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// The keys of the envelope in the order in which Vault's commands print them.
const ENVELOPE: [&str; 6] =
    ["request_id", "lease_id", "lease_duration", "renewable", "data", "warnings"];
/// The keys of the envelope that are printed only when they hold something.
const ENVELOPE_RARE: [&str; 3] = ["auth", "wrap_info", "mount_type"];

/// What a server answered: an envelope, a bare object, or nothing.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Option<Value>,
    raw: String,
    queued: bool,
}

/// One line of the table.
struct Row {
    key: String,
    value: Value,
    shown: String,
}

impl Answer {
    /// An answer with this body.
    pub(crate) fn new(body: Value) -> Self {
        Self { body: Some(body), raw: String::new(), queued: false }
    }

    /// An answer without a body.
    pub(crate) fn empty() -> Self {
        Self { body: None, raw: String::new(), queued: false }
    }

    /// Notes the body as it came, letter for letter.
    pub(crate) fn raw(self, text: &[u8]) -> Self {
        Self { raw: String::from_utf8_lossy(text).into_owned(), ..self }
    }

    /// The same envelope around other data, as if several pages had been one.
    pub(crate) fn around(mut self, data: Value, warnings: &[String]) -> Self {
        if let Some(body) = self.body.as_mut().and_then(Value::as_object_mut) {
            body.insert("data".to_owned(), data);
            let warnings = (!warnings.is_empty()).then_some(warnings);
            body.insert("warnings".to_owned(), serde_json::json!(warnings));
        }
        let raw = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        Self { raw, ..self }
    }

    /// Returns the server's warnings.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let warnings = self.body.as_ref().and_then(|body| body.get("warnings"));
        warnings.and_then(Value::as_array).into_iter().flatten().map(plain)
    }

    /// Notes whether the server will do what was asked only later.
    pub(crate) fn queued(self, queued: bool) -> Self {
        Self { queued, ..self }
    }

    /// Tells whether the server will do what was asked only later.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }

    /// Tells whether a body that came with a 404 says more than that nothing is there.
    pub(crate) fn tells_something(body: &Value) -> bool {
        let filled = |key| match body.get(key) {
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {
                false
            }
        };
        filled("data") || filled("warnings")
    }

    /// Tells whether there is no body.
    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    /// Returns the payload: what is in the envelope, or the bare body.
    pub(crate) fn data(&self) -> Option<&Value> {
        let body = self.body.as_ref()?;
        if is_envelope(body) { body.get("data").filter(|data| !data.is_null()) } else { Some(body) }
    }

    /// Tells whether the answer is an envelope whose content lies open, not in a wrapping token.
    pub(crate) fn is_open(&self) -> bool {
        self.body.as_ref().is_some_and(|body| {
            is_envelope(body) && body.get("wrap_info").is_none_or(Value::is_null)
        })
    }

    /// Returns the id of the lease that came with the answer.
    pub(crate) fn lease_id(&self) -> Option<String> {
        let id = self.body.as_ref()?.get("lease_id")?.as_str()?;
        (!id.is_empty()).then(|| id.to_owned())
    }

    /// Returns the token that came with the answer.
    pub(crate) fn token(&self) -> Option<String> {
        let auth = self.body.as_ref()?.get("auth")?;
        auth.get("client_token")?.as_str().filter(|token| !token.is_empty()).map(str::to_owned)
    }

    /// Returns the keys of a list.
    pub(crate) fn keys(&self) -> Option<&Vec<Value>> {
        self.data()?.get("keys")?.as_array()
    }

    /// Shows the whole answer.
    pub(crate) fn show(&self, format: Format, output: &mut Output) {
        let Some(body) = &self.body else {
            return;
        };
        if format == Format::Table {
            self.warn(output);
            let rows = self.rows().into_iter().map(|row| vec![row.key, row.shown]);
            output.table(&["Key", "Value"], &rows.collect::<Vec<_>>());
        } else if is_envelope(body) {
            self.show_part(&Envelope(body), format, output);
        } else {
            self.show_part(body, format, output);
        }
    }

    /// Shows the part of the answer that the command is about, in a form for programs; the raw form
    /// is always the whole. A table is for the command to make.
    pub(crate) fn show_part(&self, part: &impl Serialize, format: Format, output: &mut Output) {
        match format {
            Format::Json => output.json(part),
            Format::Yaml => output.yaml(part),
            Format::Raw => output.value(self.raw.trim_end()),
            Format::Table => {}
        }
    }

    /// Shows one field: bare, or as JSON.
    pub(crate) fn show_field(
        &self,
        field: &str,
        format: Format,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let whole = || self.data().filter(|_| field == "data").cloned();
        let found = self.rows().into_iter().find(|row| row.key == field);
        let Some(value) = found.map(|row| row.value).or_else(whole) else {
            let names: Vec<_> = self.rows().into_iter().map(|row| row.key).collect();
            return Err(Failure::Local(format!(
                "Field \"{field}\" not present in secret\n\nIt has: {}.",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            )));
        };
        self.warn(output);
        match format {
            Format::Table | Format::Raw => output.value(&plain(&value)),
            Format::Json => output.json(&value),
            Format::Yaml => output.yaml(&value),
        }
        Ok(())
    }

    /// Shows the server's warnings, beside the result.
    pub(crate) fn warn(&self, output: &mut Output) {
        let mut warnings = self.warnings().peekable();
        if warnings.peek().is_none() {
            return;
        }
        output.remark("WARNING! The following warnings were returned by the server:\n");
        for warning in warnings {
            output.remark(&format!("  * {warning}"));
        }
        output.remark("");
    }

    fn rows(&self) -> Vec<Row> {
        let Some(body) = &self.body else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        if is_envelope(body) {
            lease_rows(body, &mut rows);
            wrap_rows(body.get("wrap_info"), &mut rows);
            auth_rows(body.get("auth"), &mut rows);
        }
        if let Some(Value::Object(data)) = self.data() {
            rows.extend(sorted(data).map(|(key, value)| Row::of(key, value)));
        }
        rows
    }
}

impl Row {
    fn of(key: &str, value: &Value) -> Self {
        let seconds = value.as_u64().filter(|_| is_span(key));
        let shown = seconds.map_or_else(|| plain(value), show_seconds);
        Self { key: key.to_owned(), value: value.clone(), shown }
    }
}

/// Tells whether a field of this name counts seconds, by the endings that Vault's tables go by.
fn is_span(key: &str) -> bool {
    ["period", "ttl", "duration"].iter().any(|word| {
        key.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    })
}

fn is_envelope(body: &Value) -> bool {
    body.get("request_id").is_some() && body.get("data").is_some()
}

fn lease_rows(body: &Value, rows: &mut Vec<Row>) {
    let duration = body.get("lease_duration").filter(|seconds| seconds.as_u64() != Some(0));
    let lease = body.get("lease_id").filter(|id| id.as_str().is_some_and(|id| !id.is_empty()));
    match (lease, duration) {
        (Some(lease), duration) => {
            rows.push(Row::of("lease_id", lease));
            rows.push(Row::of("lease_duration", duration.unwrap_or(&Value::from(0))));
            rows.push(Row::of("lease_renewable", body.get("renewable").unwrap_or(&Value::Null)));
        }
        (None, Some(duration)) => {
            let shown = duration.as_u64().map_or_else(|| plain(duration), show_seconds);
            rows.push(Row { key: "refresh_interval".to_owned(), value: duration.clone(), shown });
        }
        (None, None) => {}
    }
}

fn wrap_rows(wrap: Option<&Value>, rows: &mut Vec<Row>) {
    let names = [
        ("wrapping_token", "token"),
        ("wrapping_accessor", "accessor"),
        ("wrapping_token_ttl", "ttl"),
        ("wrapping_token_creation_time", "creation_time"),
        ("wrapping_token_creation_path", "creation_path"),
        ("wrapped_accessor", "wrapped_accessor"),
    ];
    for (key, name) in names {
        if let Some(value) = wrap.and_then(|wrap| wrap.get(name)) {
            rows.push(Row::of(key, value));
        }
    }
}

fn auth_rows(auth: Option<&Value>, rows: &mut Vec<Row>) {
    let names = [
        ("token", "client_token"),
        ("token_accessor", "accessor"),
        ("token_duration", "lease_duration"),
        ("token_renewable", "renewable"),
        ("token_policies", "token_policies"),
        ("identity_policies", "identity_policies"),
        ("policies", "policies"),
    ];
    for (key, name) in names {
        let Some(value) = auth.and_then(|auth| auth.get(name)) else {
            continue;
        };
        let mut row = Row::of(key, value);
        if key == "token_duration" && value.as_u64() == Some(0) {
            "∞".clone_into(&mut row.shown);
        }
        rows.push(row);
    }
    let metadata = auth.and_then(|auth| auth.get("metadata")).and_then(Value::as_object);
    for (key, value) in metadata.into_iter().flat_map(sorted) {
        rows.push(Row::of(&format!("token_meta_{key}"), value));
    }
}

/// Goes through a map by name, whatever order it was built in.
pub(crate) fn sorted(map: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries.into_iter()
}

/// Writes a value as a person would: text without quotes, everything that has parts as JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "n/a".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// The envelope as Vault's commands print it: without the copies that some routes put beside it.
struct Envelope<'a>(&'a Value);

impl Serialize for Envelope<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for key in ENVELOPE {
            map.serialize_entry(key, self.0.get(key).unwrap_or(&Value::Null))?;
        }
        for key in ENVELOPE_RARE {
            if let Some(value) = self.0.get(key).filter(|value| !value.is_null()) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(body: Value) -> Vec<(String, String)> {
        Answer::new(body).rows().into_iter().map(|row| (row.key, row.shown)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn a_lease_comes_before_its_secret_and_the_secret_in_order() {
        let rows = shown(json!({
            "request_id": "r", "lease_id": "database/creds/app/1", "renewable": true,
            "lease_duration": 3600, "data": {"username": "u", "password": "p"},
            "wrap_info": null, "warnings": null, "auth": null
        }));
        assert_eq!(
            rows,
            [
                pair("lease_id", "database/creds/app/1"),
                pair("lease_duration", "1h"),
                pair("lease_renewable", "true"),
                pair("password", "p"),
                pair("username", "u"),
            ]
        );
    }

    #[test]
    fn what_counts_seconds_is_shown_as_a_span_and_what_has_parts_as_json() {
        let rows = shown(json!({
            "request_id": "r", "lease_id": "", "lease_duration": 2_764_800,
            "data": {"max_ttl": 86_400, "period": 60, "bottle": 60, "statements": ["a", "b"],
                     "none": null}
        }));
        assert_eq!(
            rows,
            [
                pair("refresh_interval", "768h"),
                pair("bottle", "60"),
                pair("max_ttl", "24h"),
                pair("none", "n/a"),
                pair("period", "1m"),
                pair("statements", r#"["a","b"]"#),
            ]
        );
    }

    #[test]
    fn a_login_shows_its_token_and_whose_it_is() {
        let rows = shown(json!({
            "request_id": "r", "lease_id": "", "lease_duration": 0, "data": null,
            "auth": {"client_token": "t", "accessor": "a", "lease_duration": 0, "renewable": false,
                     "policies": ["root"], "metadata": {"username": "ann"}}
        }));
        assert_eq!(
            rows,
            [
                pair("token", "t"),
                pair("token_accessor", "a"),
                pair("token_duration", "∞"),
                pair("token_renewable", "false"),
                pair("policies", r#"["root"]"#),
                pair("token_meta_username", "ann"),
            ]
        );
    }

    #[test]
    fn copies_beside_the_envelope_are_not_printed() {
        let body = json!({"kv/": {}, "request_id": "r", "lease_id": "", "data": {"kv/": {}}});
        let text = serde_json::to_string(&Envelope(&body)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"request_id":"r","lease_id":"","lease_duration":null,"renewable":null,"#,
                r#""data":{"kv/":{}},"warnings":null}"#
            )
        );
    }
}
