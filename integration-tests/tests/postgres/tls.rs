//! TLS between Leasehold and a server: what is checked, and what is refused.

use crate::place::{Place, config, place, place_of};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::postgres::Postgres;
use leasehold_integration_tests::engine_suite::{self as suite, PATIENCE, prepared, revocation};
use leasehold_integration_tests::postgres::{SUPERUSER, SUPERUSER_PASSWORD, Server, Version};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;

/// The administrator who has a certificate and no password.
const CERTIFIED: &str = "certified";

/// Who may log in how: one user by a certificate, the others by a password, with TLS or without.
const HBA: &str =
    "hostssl all certified 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// An authority that signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Certified {
    certificate: String,
    key: String,
}

fn named(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

impl Authority {
    fn new(common_name: &str) -> Self {
        let mut params = named(&[], common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn certify(&self, names: &[&str], common_name: &str) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let signed = named(names, common_name).signed_by(&key, &self.issuer).expect("it signs");
        Certified { certificate: signed.pem(), key: key.serialize_pem() }
    }
}

/// A server whose certificate is for `localhost`, and the authority that it and its clients have.
async fn place_with_tls(administrator: (&str, &str)) -> (Arc<Place>, Authority) {
    let authority = Authority::new("the authority");
    let own = authority.certify(&["localhost"], "localhost");
    let files = [
        ("server.crt", own.certificate.as_str()),
        ("server.key", &own.key),
        ("root.crt", &authority.pem),
        ("pg_hba.conf", HBA),
    ];
    let settings = ["-c", "fsync=off", "-c", "ssl=on", "-c", "ssl_ca_file=root.crt"];
    let server = Server::start_with_files(Version::Distribution, &settings, &files);
    (place_of(server, administrator, &Value::Null).await, authority)
}

/// Opens the target with its own `connection_url`.
fn opened(place: &Place, host: &str, mode: &str, fields: Value) -> Postgres {
    let port = place.server.port();
    let mut all = json!({
        "connection_url": format!("postgresql://{{{{username}}}}:{{{{password}}}}@{host}:{port}/app?sslmode={mode}"),
        "username": SUPERUSER, "password": SUPERUSER_PASSWORD,
    });
    let Value::Object(fields) = fields else { panic!("the fields are an object") };
    all.as_object_mut().expect("it is an object").extend(fields);
    Postgres::open(config(&all), place.origin, suite::clock()).expect("the target opens")
}

/// Issues and revokes, and returns what the server knows of the connections that did it.
async fn works(place: &Place, engine: &Postgres) -> String {
    let issue = prepared(engine, &place.role, ("tester", "app"), PATIENCE);
    let answer = engine.issue(std::slice::from_ref(&issue)).await.remove(0);
    answer.expect("it is issued");
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
    let sql = "SELECT string_agg(DISTINCT format('%s %s', ssl, client_dn), ', ') FROM pg_stat_ssl \
        JOIN pg_stat_activity USING (pid) WHERE application_name = 'leasehold'";
    place.ask("app", sql).await
}

/// Issues, expects that no connection comes about, and returns what is said of it.
async fn refused(place: &Place, engine: &Postgres) -> String {
    let issue = prepared(engine, &place.role, ("tester", "app"), PATIENCE);
    let error = engine.issue(&[issue]).await.remove(0).expect_err("no connection comes about");
    assert!(
        matches!(&error, EngineError::Refused(reason) if reason.cause == Cause::Unreachable),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test]
async fn a_server_with_the_right_certificate_is_talked_to_in_secret() {
    let (place, authority) = place_with_tls((SUPERUSER, SUPERUSER_PASSWORD)).await;
    let engine = opened(&place, "localhost", "verify-full", json!({"tls_ca": authority.pem}));
    assert_eq!(works(&place, &engine).await, "t ");
}

#[tokio::test]
async fn a_certificate_by_another_authority_is_refused() {
    let (place, _) = place_with_tls((SUPERUSER, SUPERUSER_PASSWORD)).await;
    let other = Authority::new("another authority");
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let engine = opened(&place, "localhost", mode, json!({"tls_ca": other.pem}));
        let why = refused(&place, &engine).await;
        assert!(why.contains("UnknownIssuer") && why.contains("`tls_ca`"), "{mode}: {why}");
    }
    let engine = opened(&place, "localhost", "verify-full", json!({}));
    let why = refused(&place, &engine).await;
    assert!(why.contains("UnknownIssuer") && why.contains("`tls_ca`"), "{why}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (place, authority) = place_with_tls((SUPERUSER, SUPERUSER_PASSWORD)).await;
    let fields = || json!({"tls_ca": authority.pem});
    let why = refused(&place, &opened(&place, "127.0.0.1", "verify-full", fields())).await;
    assert!(why.contains("not valid for name") && why.contains("127.0.0.1"), "{why}");
    // This mode asks for no name.
    assert_eq!(works(&place, &opened(&place, "127.0.0.1", "verify-ca", fields())).await, "t ");
}

#[tokio::test]
async fn an_administrator_may_log_in_by_a_certificate() {
    let (place, authority) = place_with_tls((CERTIFIED, "")).await;
    let own = authority.certify(&[], CERTIFIED);
    let fields = |certified: &Certified| {
        json!({
            "tls_ca": authority.pem, "username": CERTIFIED, "password": "",
            "tls_certificate": certified.certificate, "private_key": certified.key,
        })
    };
    let engine = opened(&place, "localhost", "verify-full", fields(&own));
    assert_eq!(works(&place, &engine).await, format!("t /CN={CERTIFIED}"));

    let others = authority.certify(&[], "somebody else");
    let why = refused(&place, &opened(&place, "localhost", "verify-full", fields(&others))).await;
    assert!(why.contains("certificate authentication failed"), "{why}");
    let without = json!({"tls_ca": authority.pem, "username": CERTIFIED, "password": ""});
    let why = refused(&place, &opened(&place, "localhost", "verify-full", without)).await;
    assert!(why.contains("certificate"), "{why}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let place = place(Version::Distribution).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let why = refused(&place, &opened(&place, "localhost", mode, json!({}))).await;
        assert!(why.contains("server does not support TLS"), "{mode}: {why}");
    }
    // Whoever names an authority does not want to go without.
    let authority = Authority::new("the authority");
    let engine = opened(&place, "localhost", "prefer", json!({"tls_ca": authority.pem}));
    assert!(refused(&place, &engine).await.contains("server does not support TLS"));
    assert_eq!(works(&place, &opened(&place, "localhost", "prefer", json!({}))).await, "f ");
}
