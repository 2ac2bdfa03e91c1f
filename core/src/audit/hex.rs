//! Bytes as hexadecimal digits, as keyed hashes, chains and signatures are written.

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Appends two digits for each byte.
pub(super) fn push(text: &mut String, bytes: &[u8]) {
    text.reserve(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
        }
    }
}

/// Returns two digits for each byte.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    push(&mut text, bytes);
    text
}

/// Returns the bytes that digits stand for.
pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut digits = text.bytes();
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let mut nibble = || char::from(digits.next()?).to_digit(16);
        let pair = (nibble()? << 4) | nibble()?;
        *byte = u8::try_from(pair).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_from_their_digits() {
        let all: [u8; 256] = std::array::from_fn(|byte| u8::try_from(byte).unwrap());
        assert_eq!(bytes(&text(&all)), Some(all));
        for wrong in ["", "0", "0g", "00 ", "0000"] {
            assert_eq!(bytes::<1>(wrong), None, "{wrong}");
        }
    }
}
