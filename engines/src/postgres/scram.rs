//! Computes what the server keeps of a password: the SCRAM-SHA-256 verifier of RFC 5802 and RFC 7677.
//!
//! It is computed here so that no password ever reaches the server's log. `SASLprep` is left out: it
//! changes nothing in the ASCII passwords that Leasehold draws.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::secret::SecretText;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// How much chance a verifier's salt holds, in bytes: what PostgreSQL itself draws.
pub(super) const SALT_BYTES: usize = 16;

/// Returns the verifier as PostgreSQL writes it:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
pub(super) fn verifier(password: &SecretText, salt: &[u8], iterations: NonZeroU32) -> SecretText {
    let mut salted = Zeroizing::new([0_u8; digest::SHA256_OUTPUT_LEN]);
    let secret = password.reveal().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret, salted.as_mut_slice());
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_slice());
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    SecretText::new(format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3: user `user`, password `pencil`. The server proves itself
    /// there by signing the exchange with the `ServerKey`, which must therefore be ours.
    #[test]
    fn the_example_of_rfc_7677_gives_its_keys() {
        let salt: [u8; 16] =
            STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let made =
            verifier(&SecretText::new("pencil".into()), &salt, NonZeroU32::new(4096).unwrap());
        let server_key = STANDARD.decode(made.reveal().rsplit(':').next().unwrap()).unwrap();
        let signed = concat!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        );
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &server_key), signed.as_bytes());
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(made.reveal().starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
    }
}
