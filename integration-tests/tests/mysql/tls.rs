//! TLS between Leasehold and a server: what is checked, and what is refused.

use crate::place::{Place, granting, place_of};
use leasehold_core::engine::{Engine as _, EngineError};
use leasehold_engines::mysql::MySql;
use leasehold_integration_tests::mariadb::{ROOT, ROOT_PASSWORD, Server};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes an authority, and a certificate of it for `localhost` with its key.
fn certified(authority: &str) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("it signs itself").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let mut names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    names.distinguished_name.push(DnType::CommonName, "localhost");
    let signed = names.signed_by(&key, &issuer).expect("it signs");
    (authority, signed.pem(), key.serialize_pem())
}

async fn place_with_tls() -> (Arc<Place>, String, String) {
    let (authority, certificate, key) = certified("the authority");
    let files =
        [("ca.pem", authority.as_str()), ("server.pem", &certificate), ("server.key", &key)];
    let settings = ["--ssl-ca=ca.pem", "--ssl-cert=server.pem", "--ssl-key=server.key"];
    let server = Server::start_with(&settings, &files);
    let place = place_of(server, (ROOT, ROOT_PASSWORD), granting()).await;
    (place, authority, format!("{certificate}{key}"))
}

fn opened(place: &Place, host: &str, tls: &str, more: Value) -> MySql {
    let url =
        format!("{{{{username}}}}:{{{{password}}}}@tcp({host}:{})/?tls={tls}", place.server.port());
    let mut fields = json!({ "connection_url": url });
    let Value::Object(more) = more else { panic!("the fields are an object") };
    fields.as_object_mut().expect("it is an object").extend(more);
    place.open(&fields)
}

async fn reaches(engine: &MySql) -> Result<(), EngineError> {
    engine.identity().await.map(|_| ())
}

#[tokio::test]
async fn a_server_is_checked_against_the_authority_and_its_host() {
    let (place, authority, _) = place_with_tls().await;
    let ca = || json!({ "tls_ca": authority });
    reaches(&opened(&place, "localhost", "custom", ca())).await.expect("it is who it says");
    reaches(&opened(&place, "127.0.0.1", "skip-verify", json!({}))).await.expect("nobody checks");
    let skipped = json!({ "tls_ca": authority, "tls_skip_verify": true });
    reaches(&opened(&place, "127.0.0.1", "custom", skipped)).await.expect("nobody checks");
    reaches(&opened(&place, "127.0.0.1", "custom", ca())).await.expect_err("it has another name");
    let (stranger, _, _) = certified("a stranger");
    let wrong =
        reaches(&opened(&place, "localhost", "custom", json!({ "tls_ca": stranger }))).await;
    let error = wrong.expect_err("another authority").to_string();
    assert!(error.contains("tls_ca"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_the_administrators_own_is_shown() {
    let (place, authority, own) = place_with_tls().await;
    place.run("ALTER USER 'root'@'%' REQUIRE X509").await;
    let without = opened(&place, "localhost", "custom", json!({ "tls_ca": authority }));
    reaches(&without).await.expect_err("the server wants one");
    let fields = json!({ "tls_ca": authority, "tls_certificate_key": own });
    reaches(&opened(&place, "localhost", "custom", fields)).await.expect("it has one");
}
