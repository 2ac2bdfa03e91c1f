//! Over what callers come: TLS 1.2 and 1.3, and with certificates of their own.

use super::place_with;
use leasehold_integration_tests::server::{Place, Server};
use nix::sys::signal::Signal;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use reqwest::tls::Version;
use reqwest::{Client, ClientBuilder, Identity, Response};
use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

/// An authority that signs certificates of servers and clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// From when until when a certificate is good.
#[derive(Clone, Copy)]
enum Good {
    Now,
    UntilLongAgo,
    NotYet,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Writes the certificate of a server, and its key.
    fn certify(&self, place: &Place) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(place.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(place.path("key.pem"), key.serialize_pem()).unwrap();
    }

    /// Makes the certificate of a client, with its key.
    fn client(&self, good: Good, usage: ExtendedKeyUsagePurpose) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["caller".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = match good {
            Good::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1)),
            Good::UntilLongAgo => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Good::NotYet => (date_time_ymd(2119, 1, 1), date_time_ymd(2120, 1, 1)),
        };
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity::from_pem(format!("{pem}{}", key.serialize_pem()).as_bytes()).unwrap()
    }

    /// Begins a client that believes in this authority only.
    fn believed(&self) -> ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let builder = Client::builder().no_proxy().tls_certs_only([root]);
        builder.timeout(Duration::from_secs(30))
    }
}

/// Returns the lines of a listener with TLS, and further ones.
fn with_tls(more: &str) -> String {
    format!(
        "tls_cert_file = \"{{folder}}/cert.pem\"\n tls_key_file = \"{{folder}}/key.pem\"\n {more}"
    )
}

async fn ask(client: ClientBuilder, server: &Server) -> reqwest::Result<Response> {
    let url = format!("https://{}/v1/sys/seal-status", server.address());
    client.build().unwrap().get(url).send().await
}

async fn is_let_in(client: ClientBuilder, server: &Server) -> bool {
    ask(client, server).await.is_ok_and(|response| response.status() == 200)
}

const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
const BOTH: [Version; 2] = [Version::TLS_1_2, Version::TLS_1_3];

fn only(version: Version, client: ClientBuilder) -> ClientBuilder {
    client.tls_version_min(version).tls_version_max(version)
}

#[tokio::test]
async fn only_callers_with_a_certificate_of_the_authority_come_in_where_one_is_required() {
    let (servers, clients, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let place = place_with(&with_tls(
        "tls_client_ca_file = \"{folder}/clients.pem\"\n tls_require_and_verify_client_cert = true",
    ));
    servers.certify(&place);
    fs::write(place.path("clients.pem"), &clients.pem).unwrap();
    let server = place.start();
    for version in BOTH {
        let with = |identity| only(version, servers.believed()).identity(identity);
        assert!(is_let_in(with(clients.client(Good::Now, CLIENT)), &server).await);
        assert!(!is_let_in(only(version, servers.believed()), &server).await);
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        for identity in [
            foreign.client(Good::Now, CLIENT),
            clients.client(Good::UntilLongAgo, CLIENT),
            clients.client(Good::NotYet, CLIENT),
            // What proves a server proves no caller.
            clients.client(Good::Now, usage),
            servers.client(Good::Now, CLIENT),
        ] {
            assert!(!is_let_in(with(identity), &server).await);
        }
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn where_a_certificate_is_welcome_but_not_required_a_bad_one_is_refused_all_the_same() {
    let (servers, clients, foreign) = (Authority::new(), Authority::new(), Authority::new());
    let place = place_with(&with_tls("tls_client_ca_file = \"{folder}/clients.pem\""));
    servers.certify(&place);
    fs::write(place.path("clients.pem"), &clients.pem).unwrap();
    let server = place.start();
    for version in BOTH {
        let plain = || only(version, servers.believed());
        assert!(is_let_in(plain(), &server).await);
        assert!(is_let_in(plain().identity(clients.client(Good::Now, CLIENT)), &server).await);
        assert!(!is_let_in(plain().identity(foreign.client(Good::Now, CLIENT)), &server).await);
        let expired = clients.client(Good::UntilLongAgo, CLIENT);
        assert!(!is_let_in(plain().identity(expired), &server).await);
    }
}

#[tokio::test]
async fn a_new_certificate_of_the_server_keeps_connections_of_callers_with_their_own() {
    let (old, new, clients) = (Authority::new(), Authority::new(), Authority::new());
    let place = place_with(&with_tls(
        "tls_client_ca_file = \"{folder}/clients.pem\"\n tls_require_and_verify_client_cert = true",
    ));
    old.certify(&place);
    fs::write(place.path("clients.pem"), &clients.pem).unwrap();
    let server = place.start();
    let identity = || clients.client(Good::Now, CLIENT);
    let connected = old.believed().identity(identity()).build().unwrap();
    let base = format!("https://{}/v1/sys", server.address());
    let made = connected.put(format!("{base}/init")).body("{}").send().await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
    let root = made["root_token"].as_str().unwrap().to_owned();
    let still = async || {
        let asked = connected.get(format!("{base}/mounts")).header("X-Vault-Token", &root);
        asked.send().await.is_ok_and(|response| response.status() == 200)
    };
    assert!(still().await);
    new.certify(&place);
    let before = server.log().len();
    server.signal(Signal::SIGHUP);
    let read = async {
        while !server.log().get(before..).unwrap().contains("the certificate was read again") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.unwrap();
    assert!(is_let_in(new.believed().identity(identity()), &server).await);
    assert!(!is_let_in(old.believed().identity(identity()), &server).await);
    // It could not open another connection, so that this is the one from before.
    assert!(still().await);
}

/// A `ClientHello` of a version that was given up: `3, 1` for TLS 1.0, `3, 2` for 1.1.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
    let groups = [0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17];
    let body = [&version[..], &[7; 32], &[0], &[0, 8], &suites, &[1, 0], &[0, 8], &groups].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let handshake = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&handshake), &handshake].concat()
}

#[tokio::test]
async fn old_versions_and_callers_without_tls_are_refused_and_12_where_only_13_is_wanted() {
    let authority = Authority::new();
    let place = place_with(&with_tls(""));
    authority.certify(&place);
    let server = place.start();
    for version in BOTH {
        let answer = ask(only(version, authority.believed()), &server).await.unwrap();
        let kept = &answer.headers()["strict-transport-security"];
        assert_eq!(kept, "max-age=31536000; includeSubDomains");
    }
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut stream = server.connect();
        stream.write_all(&hello(version)).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // A fatal alert, and nothing else.
        assert_eq!(
            (answer.first(), answer.get(5), answer.len()),
            (Some(&21), Some(&2), 7),
            "{version:?}"
        );
    }
    let plain = server.raw("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!plain.contains("HTTP/1.1"), "{plain}");

    let place = place_with(&with_tls("tls_min_version = \"tls13\""));
    authority.certify(&place);
    let server = place.start();
    assert!(is_let_in(only(Version::TLS_1_3, authority.believed()), &server).await);
    assert!(!is_let_in(only(Version::TLS_1_2, authority.believed()), &server).await);
}
