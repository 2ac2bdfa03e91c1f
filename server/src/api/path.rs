//! Reads the path of a request: one text means one path, for the route, the policies and the audit alike.

use super::error::Refusal;
use actix_web::http::StatusCode;

/// The longest path, in bytes: far more than a mount, a role and a lease id take together.
const PATH_MAX: usize = 4096;

/// Returns the path behind `/v1/`, decoded: once, and before anything looks at it, so that `%2F` is the same
/// `/` to everybody. A path with two readings is refused, not guessed.
pub(super) fn decoded(raw: &str) -> Result<String, Refusal> {
    let Some(raw) = raw.strip_prefix("/v1/") else { return Err(Refusal::nothing_here()) };
    if raw.len() > PATH_MAX {
        return Err(bad("the path is too long"));
    }
    let path = percent_decoded(raw)?;
    if path.contains('\0') {
        return Err(bad("the path holds a zero byte"));
    }
    if path.chars().any(char::is_control) {
        return Err(bad("the path holds control characters"));
    }
    let mut segments = path.strip_suffix('/').unwrap_or(&path).split('/');
    if segments.clone().any(|segment| matches!(segment, "." | "..")) {
        return Err(bad("relative paths not supported"));
    }
    if !path.is_empty() && segments.any(str::is_empty) {
        return Err(bad("the path holds empty segments"));
    }
    Ok(path)
}

/// Decodes `%xx`.
fn percent_decoded(raw: &str) -> Result<String, Refusal> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = rest.next().zip(rest.next());
            let byte = pair.and_then(|(high, low)| super::query::hex_pair(high, low));
            let incomplete = "the path holds a `%` without two hexadecimal digits after it";
            bytes.push(byte.ok_or_else(|| bad(incomplete))?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| bad("the path is not UTF-8 once it is decoded"))
}

fn bad(message: &str) -> Refusal {
    Refusal::told(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_one_way_or_not_at_all() {
        for (raw, path) in [
            ("/v1/sys/mounts", "sys/mounts"),
            ("/v1/database/roles/", "database/roles/"),
            ("/v1/a%20b/%C3%A9", "a b/\u{e9}"),
            ("/v1/", ""),
            ("/v1/a%2fb", "a/b"),
            ("/v1/a%2Fb%2f", "a/b/"),
            ("/v1/a%252fb", "a%2fb"),
        ] {
            assert_eq!(decoded(raw).ok().as_deref(), Some(path), "{raw}");
        }
        for raw in ["/v2/a", "/v1", "/", "*"] {
            assert!(decoded(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_path_that_is_refused_is_told_why() {
        let relative = "relative paths not supported";
        let empty = "the path holds empty segments";
        let incomplete = "the path holds a `%` without two hexadecimal digits after it";
        for (raw, why) in [
            ("/v1/a/../b", relative),
            ("/v1/..", relative),
            ("/v1/a/%2e%2e/b", relative),
            ("/v1/a%2f..%2fb", relative),
            ("/v1/a%2f%2e%2e", relative),
            ("/v1/./a", relative),
            ("/v1//a", empty),
            ("/v1/a//b", empty),
            ("/v1/a/%2fb", empty),
            ("/v1/a%2f%2f", empty),
            ("/v1/%2fa", empty),
            ("/v1/a//", empty),
            ("/v1/a%00b", "the path holds a zero byte"),
            ("/v1/a%0ab", "the path holds control characters"),
            ("/v1/a%7fb", "the path holds control characters"),
            ("/v1/a%ff", "the path is not UTF-8 once it is decoded"),
            ("/v1/a%c0%af", "the path is not UTF-8 once it is decoded"),
            ("/v1/a%", incomplete),
            ("/v1/a%2", incomplete),
            ("/v1/a%zz", incomplete),
        ] {
            let told = decoded(raw).err().map(|refusal| refusal.into_reply().body);
            let told: serde_json::Value = serde_json::from_slice(&told.unwrap()).unwrap();
            assert_eq!(told["errors"][0], why, "{raw}");
        }
    }
}
