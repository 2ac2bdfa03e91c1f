//! TLS between Leasehold and a server: what is checked, and what is refused.

use crate::place::{issue_at, opened, role};
use leasehold_core::engine::{Cause, Engine as _, EngineError};
use leasehold_engines::redis::Redis;
use leasehold_integration_tests::engine_suite::{self as suite, revocation};
use leasehold_integration_tests::redis::{Server, Users};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// An authority that signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
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

    /// Returns a certificate and its key, in PEM.
    fn certify(&self, names: &[&str], common_name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let signed = named(names, common_name).signed_by(&key, &self.issuer).expect("it signs");
        (signed.pem(), key.serialize_pem())
    }
}

/// A server that speaks nothing but TLS, with a certificate for `localhost`.
fn server(authority: &Authority, asks_clients: bool) -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (certificate, key) = authority.certify(&["localhost"], "localhost");
    let files = [("server.crt", &certificate), ("server.key", &key), ("root.crt", &authority.pem)];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the file is written");
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (crt, key, root) = (path("server.crt"), path("server.key"), path("root.crt"));
    let asks = if asks_clients { "yes" } else { "no" };
    let settings = [
        "--tls-port",
        "own",
        "--tls-cert-file",
        &crt,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &root,
        "--tls-auth-clients",
        asks,
    ];
    (Server::start_with(Users::Nowhere, &settings), folder)
}

fn engine(server: &Server, host: &str, more: &Value) -> Redis {
    let mut fields = json!({ "host": host, "tls": true });
    let more = more.as_object().cloned().unwrap_or_default();
    fields.as_object_mut().expect("it is an object").extend(more);
    opened(server, suite::origin(), &fields)
}

async fn works(engine: &Redis) {
    let (issue, login) = issue_at(engine, &role(&Value::Null)).await;
    login.expect("it is issued");
    assert_eq!(engine.revoke(&[revocation(&issue)]).await, [Ok(())]);
}

async fn refused(engine: &Redis) -> String {
    let (_, answer) = issue_at(engine, &role(&Value::Null)).await;
    let error = answer.expect_err("no connection comes about");
    assert!(
        matches!(&error, EngineError::Refused(reason) if reason.cause == Cause::Unreachable),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test]
async fn a_server_with_the_right_certificate_is_talked_to_in_secret() {
    let authority = Authority::new("the authority");
    let (server, _files) = server(&authority, false);
    works(&engine(&server, "localhost", &json!({"ca_cert": authority.pem}))).await;
    works(&engine(&server, "127.0.0.1", &json!({"insecure_tls": true}))).await;
}

#[tokio::test]
async fn another_authority_another_name_and_no_tls_are_refused() {
    let authority = Authority::new("the authority");
    let (server, _files) = server(&authority, false);
    let other = Authority::new("another authority");
    let why = refused(&engine(&server, "localhost", &json!({"ca_cert": other.pem}))).await;
    assert!(why.contains("UnknownIssuer") && why.contains("`ca_cert`"), "{why}");
    let why = refused(&engine(&server, "localhost", &json!({}))).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    let why = refused(&engine(&server, "127.0.0.1", &json!({"ca_cert": authority.pem}))).await;
    assert!(why.contains("not valid for name"), "{why}");
    refused(&engine(&server, "localhost", &json!({"tls": false}))).await;
}

#[tokio::test]
async fn an_administrator_may_have_to_show_a_certificate() {
    let authority = Authority::new("the authority");
    let (server, _files) = server(&authority, true);
    let (certificate, key) = authority.certify(&[], "leasehold");
    let fields = json!({
        "ca_cert": authority.pem, "tls_certificate": certificate, "private_key": key,
    });
    works(&engine(&server, "localhost", &fields)).await;
    refused(&engine(&server, "localhost", &json!({"ca_cert": authority.pem}))).await;
}
