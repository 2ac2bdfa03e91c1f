//! Bytes as hexadecimal digits, as keyed hashes, chains and signatures are written.

/// The two digits of each byte, one after the other.
const PAIRS: &str = "\
    000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
    202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f\
    404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f\
    606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f\
    808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\
    a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf\
    c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf\
    e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

/// Appends two digits for each byte.
pub(super) fn push(text: &mut String, bytes: &[u8]) {
    text.reserve(bytes.len().saturating_mul(2));
    for byte in bytes {
        let from = usize::from(*byte).saturating_mul(2);
        text.push_str(PAIRS.get(from..from.saturating_add(2)).unwrap_or("00"));
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
