//! Readers that are called by themselves.

use crate::hand::Hand;
use leasehold_core::access::password_hash::PasswordHash;
use leasehold_core::access::policy::{
    Acl, Capability, Case, Facts, Policy, PolicyName, Question, Right, format,
};
use leasehold_core::access::token::{BatchRing, Token, TokenKind};
use leasehold_core::address::Network;
use leasehold_core::audit::verify::Verifier;
use leasehold_core::backup::Decoder;
use leasehold_core::broker::IdempotencyKey;
use leasehold_core::chance::Chance;
use leasehold_core::duration;
use leasehold_core::engine::naming::Template;
use leasehold_core::ids::InstallationId;
use leasehold_core::lease::term::Term;
use leasehold_core::seal::shares::Share;
use leasehold_core::secret::SecretText;
use leasehold_core::store::tokens::TokenKey;
use leasehold_core::time::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What one input may take: a hundred times what the slowest takes, for machines that have other work.
const WITHIN: Duration = Duration::from_secs(5);

/// Feeds a reader. Of a failure the input is told, to be kept in the corpus.
#[expect(clippy::disallowed_methods, reason = "how long a reader takes is not a time of the clock")]
fn feed(reader: &str, read: impl Fn(&[u8])) {
    for input in Hand::of(reader).inputs() {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&input)));
        let took = began.elapsed();
        assert!(outcome.is_ok() && took < WITHIN, "{took:?}: {}", input.escape_ascii());
    }
}

/// The same for a reader of texts.
fn feed_texts(reader: &str, read: impl Fn(&str)) {
    feed(reader, |input| read(&String::from_utf8_lossy(input)));
}

fn policy(text: &str) -> Option<Policy> {
    Policy::parse(PolicyName::parse("p").unwrap(), text).ok()
}

/// What a policy says, line numbers aside.
fn said(policy: &Policy) -> Vec<(String, String)> {
    let acl = Acl::compile([policy], &Facts::default());
    let exact = acl.exact().map(|(path, granted)| (path.to_owned(), format!("{granted:?}")));
    let patterns = acl.patterns().map(|(path, granted)| (path.to_owned(), format!("{granted:?}")));
    exact.chain(patterns).collect()
}

#[test]
fn any_policy_is_refused_or_decides_and_says_the_same_once_it_is_formatted() {
    feed_texts("policy", |text| {
        let Some(read) = policy(text) else { return };
        let acl = Acl::compile([&read], &Facts::default());
        for path in ["a", "a/b", "database/creds/app", "sys/mounts", "", "a/"] {
            for capability in Capability::ALL {
                let right = Right::Policy;
                let question =
                    Question { path, capability, parameters: None, wrap_ttl: None, right };
                let decision = acl.decide(&question);
                // Said to whoever may see why.
                let _ = decision.to_string();
            }
        }
        let formatted = format(text).unwrap();
        let again = policy(&formatted).unwrap();
        assert_eq!(said(&read), said(&again), "{formatted}");
        assert_eq!(read.len(), again.len());
        assert_eq!(format(&formatted).unwrap(), formatted, "formatted twice is formatted once");
    });
}

#[test]
fn whatever_else_operators_write_is_read_or_refused() {
    feed_texts("cases", |text| drop(Case::parse(text)));
    feed_texts("duration", |text| {
        if let Ok(span) = duration::parse(text) {
            assert_eq!(duration::parse(&duration::go_string(span)), Ok(span), "{text}");
        }
        drop(duration::parse_seconds(&serde_json::Value::from(text)));
    });
    feed_texts("network", |text| {
        if let Ok(network) = text.parse::<Network>() {
            assert_eq!(network.to_string().parse::<Network>().ok(), Some(network), "{text}");
        }
    });
    feed_texts("template", |text| drop(Template::parse(text)));
    feed_texts("password-hash", |text| {
        if let Ok(hash) = PasswordHash::made_elsewhere(text) {
            let kept = serde_json::to_string(&hash).unwrap();
            assert_eq!(serde_json::from_str::<PasswordHash>(&kept).ok(), Some(hash), "{text}");
        }
    });
    feed_texts("policy-name", |text| {
        if let Ok(name) = PolicyName::parse(text) {
            let again = PolicyName::parse(name.as_str()).unwrap();
            assert_eq!(again.as_str(), name.as_str(), "a name is written in one way");
        }
    });
}

#[derive(Debug)]
struct Sevens;

impl Chance for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

#[test]
fn no_text_is_a_token_or_a_share_by_accident() {
    let now = Timestamp(1_000);
    let ring = BatchRing::default().renewed(Duration::from_hours(1), now, &Sevens).unwrap();
    let installation = InstallationId::new(now, &Sevens);
    let hashing = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
    let term = Some(Term::until(Timestamp(3_601_000)));
    let blank = Token::blank(TokenKey([1; 32]), now, &Sevens);
    let token = Token { kind: TokenKind::Batch, term, ..blank };
    let good = ring.seal(&token, installation, &Sevens).unwrap();
    feed_texts("token", |text| {
        let text = text.replace("GOOD", good.reveal());
        let read = ring.open(&SecretText::new(text.clone()), installation, &hashing);
        assert_eq!(read.is_ok(), text == good.reveal(), "{text}");
    });
    feed_texts("share", |text| {
        if let Ok(share) = Share::parse(text) {
            assert_eq!(Share::parse(&share.hex()).unwrap().hex(), share.hex());
        }
    });
    feed("idempotency-key", |bytes| drop(IdempotencyKey::parse(bytes)));
}

/// A public key of somebody who has signed nothing here: the first of RFC 8032, section 7.1.
const OF_ANOTHER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn no_file_breaks_whoever_reads_a_record_or_a_backup() {
    feed("audit", |bytes| {
        let mut verifier = Verifier::new([OF_ANOTHER]).unwrap();
        verifier.file("audit");
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines {
            verifier.line(line);
        }
        let report = verifier.finish();
        assert_eq!(report.signed_to, 0, "nobody has signed any of it");
    });
    feed("backup", |bytes| {
        let mut decoder = Decoder::new(None);
        for piece in bytes.chunks(97) {
            if decoder.feed(piece).is_err() {
                return;
            }
        }
        drop(decoder.end());
    });
}
