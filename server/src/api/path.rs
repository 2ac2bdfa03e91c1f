//! Reads the path of a request: one text means one path, for the route, the policies and the audit alike.

use super::error::Refusal;
use actix_web::http::StatusCode;

/// The longest path, in bytes: far more than a mount, a role and a lease id take together.
const PATH_MAX: usize = 4096;

/// Returns the path behind `/v1/`, decoded. A path with two readings is refused, not guessed.
pub(super) fn decoded(raw: &str) -> Result<String, Refusal> {
    let Some(raw) = raw.strip_prefix("/v1/") else { return Err(Refusal::nothing_here()) };
    if raw.len() > PATH_MAX {
        return Err(bad("the path is too long"));
    }
    let path = percent_decoded(raw).ok_or_else(|| bad("the path is not encoded as UTF-8"))?;
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

/// Decodes `%xx`; `None` for what is no encoding, no UTF-8, or a `/` or zero byte in disguise.
fn percent_decoded(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let byte = super::query::hex_pair(rest.next()?, rest.next()?)?;
            if byte == b'/' || byte == 0 {
                return None;
            }
            bytes.push(byte);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
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
        ] {
            assert_eq!(decoded(raw).ok().as_deref(), Some(path), "{raw}");
        }
        for raw in [
            "/v1/a/../b",
            "/v1/..",
            "/v1/a/%2e%2e/b",
            "/v1/./a",
            "/v1//a",
            "/v1/a//b",
            "/v1/a//",
            "/v1/a%2fb",
            "/v1/a%2Fb",
            "/v1/a%00b",
            "/v1/a%0ab",
            "/v1/a%ff",
            "/v1/a%",
            "/v1/a%2",
            "/v1/a%zz",
            "/v2/a",
            "/v1",
            "/",
            "*",
        ] {
            assert!(decoded(raw).is_err(), "{raw}");
        }
    }
}
