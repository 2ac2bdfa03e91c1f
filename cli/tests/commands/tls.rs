//! Whom the commands trust, and what they show of themselves.
//!
//! The certificates are made by `tls/make.sh`; the server's is for `leasehold.test` only.

use crate::support::{Run, answer, envelope, read_request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const AUTHORITY: &str = include_str!("tls/authority.pem");
const SERVER: &str = include_str!("tls/server.pem");
const SERVER_KEY: &str = include_str!("tls/server.key");
/// Certificates that sign themselves, with their keys: one only that, the other an authority's besides.
const ALONE: [(&str, &str); 2] = [
    (include_str!("tls/alone.pem"), include_str!("tls/alone.key")),
    (include_str!("tls/alone-authority.pem"), include_str!("tls/alone-authority.key")),
];
const CLIENT: &str = include_str!("tls/client.pem");
const CLIENT_KEY: &str = include_str!("tls/client.key");

/// What a TLS server learned from one caller.
#[derive(Debug)]
struct Met {
    name_asked_for: Option<String>,
    showed_certificate: bool,
    headers: BTreeMap<String, String>,
}

fn server(wants_certificate: bool) -> (u16, Receiver<Met>) {
    server_with(SERVER, SERVER_KEY, wants_certificate)
}

fn server_with(own: &str, own_key: &str, wants_certificate: bool) -> (u16, Receiver<Met>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(AUTHORITY)).expect("an authority");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = if wants_certificate {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(own_key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(vec![certificate(own)], key).expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, met) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = ServerConnection::new(Arc::clone(&config)).expect("a session");
            let mut stream = BufReader::new(StreamOwned::new(tls, stream.expect("a connection")));
            // A caller that does not trust this server ends the handshake.
            let Some(request) = read_request(&mut stream) else { continue };
            let mut stream = stream.into_inner();
            let _ = sender.send(Met {
                name_asked_for: stream.conn.server_name().map(str::to_owned),
                showed_certificate: stream.conn.peer_certificates().is_some(),
                headers: request.headers,
            });
            let text = answer(200, &envelope(&json!({"a": "1"})), "");
            let _ = stream.write_all(text.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, met)
}

fn read(port: u16, flags: &[&str]) -> Run {
    let address = format!("https://127.0.0.1:{port}");
    Run::of(&[&["read", "-field=a", "kv/x"][..], flags].concat())
        .env("VAULT_ADDR", &address)
        .env("VAULT_TOKEN", "tok-1")
        .file("authority.pem", AUTHORITY)
        .file("client.pem", CLIENT)
        .file("client.key", CLIENT_KEY)
        .file("garbage.pem", "garbage")
}

#[test]
fn a_server_is_trusted_if_its_authority_and_its_name_are_given() {
    let (port, met) = server(false);
    let flags = ["-ca-cert=authority.pem", "-tls-server-name=leasehold.test"];
    assert_eq!(read(port, &flags).run().ok(), "1");
    let met_one = met.recv().expect("a caller");
    assert_eq!(met_one.name_asked_for.as_deref(), Some("leasehold.test"));
    assert_eq!(met_one.headers["host"], format!("127.0.0.1:{port}"));
    let run = read(port, &[]).env("VAULT_CACERT", "authority.pem");
    assert_eq!(run.env("VAULT_TLS_SERVER_NAME", "leasehold.test").run().ok(), "1");
}

#[test]
fn a_server_with_an_unknown_authority_or_another_name_gets_no_token() {
    for flags in [
        &["-tls-server-name=leasehold.test"][..],
        &["-ca-cert=authority.pem"],
        &["-ca-cert=authority.pem", "-tls-server-name=other.test"],
        &["-ca-cert=client.pem", "-tls-server-name=leasehold.test"],
    ] {
        let (port, met) = server(false);
        // A machine without authorities of its own must not make a difference to this.
        let outcome = read(port, flags).run();
        assert_ne!(outcome.exit, 0, "{flags:?}");
        assert!(outcome.err.contains("-ca-cert=FILE"), "{flags:?}: {}", outcome.err);
        assert!(met.try_recv().is_err(), "{flags:?}");
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_unless_it_is_an_authoritys() {
    let flags = ["-ca-cert=own.pem", "-tls-server-name=leasehold.test"];
    let [good, authority] = ALONE;
    let (port, _met) = server_with(good.0, good.1, false);
    assert_eq!(read(port, &flags).file("own.pem", good.0).run().ok(), "1");
    let (port, _met) = server_with(authority.0, authority.1, false);
    let outcome = read(port, &flags).file("own.pem", authority.0).run();
    assert_eq!(outcome.exit, 2, "{outcome:?}");
    for words in ["its certificate is an authority's", "basicConstraints=critical,CA:FALSE"] {
        assert!(outcome.err.contains(words), "{}", outcome.err);
    }
}

#[test]
fn nobody_is_checked_if_the_user_says_so() {
    let (port, _met) = server(false);
    assert_eq!(read(port, &["-tls-skip-verify"]).run().ok(), "1");
    assert_eq!(read(port, &[]).env("VAULT_SKIP_VERIFY", "true").run().ok(), "1");
    let run = read(port, &["-tls-skip-verify=false", "-ca-cert=authority.pem"]);
    assert_eq!(run.env("VAULT_SKIP_VERIFY", "true").run().exit, 2);
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_one() {
    let (port, met) = server(true);
    let trust = ["-ca-cert=authority.pem", "-tls-server-name=leasehold.test"];
    let run = read(port, &trust).env("VAULT_CLIENT_CERT", "client.pem");
    assert_eq!(run.env("VAULT_CLIENT_KEY", "client.key").run().ok(), "1");
    assert!(met.recv().expect("a caller").showed_certificate);
    assert_eq!(read(port, &trust).run().exit, 2);
}

#[test]
fn files_that_are_no_certificates_are_refused() {
    for (flags, words) in [
        (&["-ca-cert=nope.pem"][..], "the file `nope.pem` cannot be read"),
        (&["-ca-cert=garbage.pem"], "the file `garbage.pem` holds no certificate in PEM form"),
        (&["-client-cert=client.pem"], "go together"),
        (&["-client-cert=garbage.pem", "-client-key=client.key"], "`garbage.pem` holds no"),
        (&["-client-cert=client.pem", "-client-key=garbage.pem"], "`client.pem` holds no"),
    ] {
        let outcome = read(1, flags).run();
        assert_eq!(outcome.exit, 1, "{outcome:?}");
        assert!(outcome.err.contains(words), "{outcome:?}");
    }
}
