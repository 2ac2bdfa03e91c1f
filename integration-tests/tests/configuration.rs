//! The configuration of the real binary: checked before a start, and read again on SIGHUP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use leasehold_integration_tests::server::{Place, Server, command};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// An authority that signs certificates for this machine.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Writes a certificate and its key.
    fn certify(&self, certificate: &Path, key_file: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        fs::write(certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(key_file, key.serialize_pem()).unwrap();
    }

    /// Makes a client that believes in this authority only.
    fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        client.timeout(Duration::from_secs(30)).build().unwrap()
    }
}

async fn answers(client: &reqwest::Client, server: &Server) -> bool {
    let url = format!("https://{}/v1/sys/seal-status", server.address());
    client.get(url).send().await.is_ok_and(|response| response.status() == 200)
}

/// The configuration of a server with TLS. `{more}` stands for further lines.
const WITH_TLS: &str = r#"
storage "embedded" { path = "{folder}/store" }
seal "file" { path = "{folder}/root.key" }
listener "tcp" {
  address       = "127.0.0.1:0"
  tls_cert_file = "{folder}/cert.pem"
  tls_key_file  = "{folder}/key.pem"
}
audit "file" "first" {
  options { file_path = "{folder}/audit" }
}
{more}
"#;

fn configure(place: &Place, more: &str) {
    place.configure(&WITH_TLS.replace("{more}", more));
}

/// Tells the server to read everything again, and waits until it says so; returns what it logged meanwhile.
async fn reload(server: &Server, says: &str) -> String {
    let before = server.log().len();
    server.signal(Signal::SIGHUP);
    let said = async {
        loop {
            let log = server.log();
            let new = log.get(before..).unwrap_or_default();
            if new.contains(says) {
                return new.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), said).await.unwrap()
}

const READ_AGAIN: &str = "the configuration was read again";

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_start_and_no_connection_is_cut() {
    let place = Place::new();
    let (old, new) = (Authority::new(), Authority::new());
    let files = (place.path("cert.pem"), place.path("key.pem"));
    old.certify(&files.0, &files.1);
    configure(&place, "");
    let server = place.start();
    let connected = old.client();
    assert!(answers(&connected, &server).await);
    assert!(!answers(&new.client(), &server).await);

    new.certify(&files.0, &files.1);
    let _ = reload(&server, READ_AGAIN).await;
    assert!(answers(&new.client(), &server).await);
    assert!(!answers(&old.client(), &server).await);
    // It could not open another connection, so that this is the one from before.
    assert!(answers(&connected, &server).await);

    // The files may be others as well.
    old.certify(&place.path("cert-2.pem"), &place.path("key-2.pem"));
    let moved = WITH_TLS.replace("cert.pem", "cert-2.pem").replace("key.pem", "key-2.pem");
    place.configure(&moved.replace("{more}", ""));
    let said = reload(&server, READ_AGAIN).await;
    assert!(!said.contains("takes effect at the next start"), "{said}");
    assert!(answers(&old.client(), &server).await);
    assert!(server.end().success());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_old_one_in_use() {
    let place = Place::new();
    let (old, new) = (Authority::new(), Authority::new());
    let (certificate, key) = (place.path("cert.pem"), place.path("key.pem"));
    old.certify(&certificate, &key);
    configure(&place, "");
    let server = place.start();
    let good = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());

    // The key of the old one, a certificate without end, none at all, no file.
    new.certify(&certificate, &place.path("other.pem"));
    let mismatched = fs::read(&certificate).unwrap();
    let torn = mismatched.get(..200).unwrap().to_vec();
    for bad in [Some(mismatched), Some(torn), Some(b"nothing".to_vec()), None] {
        match bad {
            Some(bad) => fs::write(&certificate, bad).unwrap(),
            None => fs::remove_file(&certificate).unwrap(),
        }
        let said = reload(&server, READ_AGAIN).await;
        assert!(said.contains("the certificate that was read before stays in use"), "{said}");
        assert!(said.contains("cert.pem"), "{said}");
        assert!(answers(&old.client(), &server).await);
    }

    // One that can be used is taken up again, even if the configuration is broken meanwhile.
    fs::write(&certificate, good.0).unwrap();
    fs::write(&key, good.1).unwrap();
    place.configure("nope = 1");
    let said = reload(&server, "the certificate was read again").await;
    assert!(said.contains("what was read before stays in effect"), "{said}");
    assert!(said.contains("config.hcl:1: unknown key `nope`"), "{said}");
    assert!(answers(&old.client(), &server).await);
}

#[tokio::test]
async fn what_takes_effect_at_the_next_start_is_named() {
    let place = Place::new();
    let authority = Authority::new();
    authority.certify(&place.path("cert.pem"), &place.path("key.pem"));
    configure(&place, "");
    let server = place.start();
    let more = "default_lease_ttl = \"1h\"\napi_addr = \"https://a:1\"\nlog_level = \"debug\"\n\
                audit \"file\" \"second\" { options { file_path = \"{folder}/audit-2\" } }";
    configure(&place, more);
    let said = reload(&server, READ_AGAIN).await;
    for key in ["default_lease_ttl", "api_addr", "audit"] {
        let told = format!("`{key}` has changed, which takes effect at the next start");
        assert!(said.contains(&told), "{key}: {said}");
    }
    for key in ["storage", "seal", "listener", "max_lease_ttl", "log_level", "log_format"] {
        assert!(!said.contains(&format!("`{key}` has changed")), "{key}: {said}");
    }
    // How much is logged changes at once: errors are told, and that all was read is not.
    configure(&place, &more.replace("debug", "error"));
    fs::remove_file(place.path("cert.pem")).unwrap();
    let error = "the certificate that was read before stays in use";
    let first = reload(&server, error).await;
    let second = reload(&server, error).await;
    assert!(![first, second].concat().contains(READ_AGAIN));
    assert!(server.end().success());
}

/// Runs `leasehold server -check`; returns whether all is well, and what it said.
fn check(arguments: &[&str]) -> (bool, String) {
    let checked = command(&["server", "-check"]).args(arguments).output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(checked.status.code(), Some(i32::from(!checked.status.success())), "{said}");
    (checked.status.success(), said)
}

fn everything_in(place: &Place) -> Vec<(String, u64)> {
    let mut all: Vec<_> = fs::read_dir(place.path("")).unwrap().map(Result::unwrap).collect();
    all.sort_by_key(fs::DirEntry::path);
    let shown = |entry: &fs::DirEntry| {
        (entry.path().display().to_string(), entry.metadata().unwrap().len())
    };
    all.iter().map(shown).collect()
}

#[tokio::test]
async fn a_check_says_whether_a_server_could_be_started_and_changes_nothing() {
    let place = Place::new();
    Authority::new().certify(&place.path("cert.pem"), &place.path("key.pem"));
    configure(&place, "ui = true");
    let config = format!("-config={}", place.path("config.hcl").display());
    let before = everything_in(&place);
    let (good, said) = check(&[&config]);
    assert!(good, "{said}");
    for line in [
        "ok       configuration: every key is known and complete",
        "warning  configuration: ",
        "ok       storage embedded: `",
        "store` is not there yet, and can be made",
        "warning  seal file: `",
        "ok       listener tcp 127.0.0.1:0: can listen, with the certificate in `",
        "ok       audit file first: `",
        "The server can be started.",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(everything_in(&place), before);

    // Beside a server that runs from the same configuration.
    let place = Place::new();
    let server = place.found().await;
    let config = format!("-config={}", place.path("config.hcl").display());
    let before = everything_in(&place);
    let (good, said) = check(&[&config]);
    assert!(good, "{said}");
    assert!(said.contains("holds a root key"), "{said}");
    assert_eq!(everything_in(&place), before);
    let _ = server.get("sys/mounts").await.expect(200);
}

#[test]
fn a_check_names_everything_that_stands_in_the_way() {
    let place = Place::new();
    let authority = Authority::new();
    authority.certify(&place.path("cert.pem"), &place.path("other.pem"));
    authority.certify(&place.path("other.pem"), &place.path("key.pem"));
    fs::write(place.path("file"), "in the way").unwrap();
    fs::write(place.path("open.key"), [7; 32]).unwrap();
    fs::set_permissions(place.path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    let written = WITH_TLS
        .replace("{folder}/store", "{folder}/file/store")
        .replace("root.key", "open.key")
        .replace("{folder}/audit", "{folder}/folder")
        .replace(
            "{more}",
            "listener \"tcp\" {\n address = \"192.0.2.1:8200\"\n tls_disable = true\n}\n\
             audit \"file\" \"second\" { options { file_path = \"{folder}/file/audit\" } }",
        );
    place.configure(&written);
    let config = format!("-config={}", place.path("config.hcl").display());
    let before = everything_in(&place);
    let (good, said) = check(&[&config, "-log-level=loud"]);
    assert!(!good, "{said}");
    for (what, told) in [
        ("storage embedded", "cannot use `"),
        ("seal file", "may be read by others"),
        ("listener tcp 127.0.0.1:0", "cannot be used: "),
        ("listener tcp 192.0.2.1:8200", "cannot listen on 192.0.2.1"),
        ("audit file first", "is not a file"),
        ("audit file second", "cannot"),
        ("log level", "the log level `loud` is none of"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("wrong    {what}: ")));
        assert!(line.is_some_and(|line| line.contains(told)), "{what}: {said}");
    }
    assert!(said.contains("There are 7 problems to mend before the server can start."), "{said}");
    assert_eq!(everything_in(&place), before);

    place.configure("nope = 1\nseal \"file\" {}\n");
    let (good, said) = check(&[&config]);
    assert!(!good, "{said}");
    for told in ["config.hcl:1: unknown key `nope`", "config.hcl:2: seal file: `path` is needed"] {
        assert!(said.contains(told), "{said}");
    }
    assert!(!check(&["-dev"]).0);
    assert!(!check(&[]).0);
    assert!(!check(&["-config=/nowhere.hcl"]).0);
}
