//! Reads `name=value` pairs, from the URL or from a form.

use super::error::Refusal;
use actix_web::http::StatusCode;
use serde_json::{Map, Value};

/// Pairs in a query: no endpoint knows as many as a dozen.
const PAIRS_MAX: usize = 100;

/// Reads pairs; the first of a name counts, as in Vault.
pub(super) fn parse(written: &str) -> Result<Map<String, Value>, Refusal> {
    let mut read = Map::new();
    for pair in written.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let pair = decoded(name).zip(decoded(value));
        let (name, value) = pair
            .filter(|_| read.len() < PAIRS_MAX)
            .ok_or_else(|| Refusal::told(StatusCode::BAD_REQUEST, "the query cannot be read"))?;
        read.entry(name).or_insert(Value::String(value));
    }
    Ok(read)
}

fn decoded(written: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex_pair(rest.next()?, rest.next()?)?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Returns the byte that two hexadecimal digits stand for.
pub(super) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_are_decoded_and_the_first_of_a_name_counts() {
        let read = parse("a=1&b=x+y%26z&a=2&c&&d=").unwrap();
        assert_eq!(Value::Object(read), json!({ "a": "1", "b": "x y&z", "c": "", "d": "" }));
        for written in ["a=%", "a=%f", "a=%gg", "a=%ff"] {
            assert!(parse(written).is_err(), "{written}");
        }
    }
}
