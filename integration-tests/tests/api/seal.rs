//! A store that people open with their shares: unsealed, sealed, and moved from one seal to another.

use crate::lending::{Lending, until};
use leasehold_integration_tests::server::{Build, Place, Server, command};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const REST: &str = "storage \"embedded\" { path = \"{folder}/store\" }\n\
    listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}\n\
    audit \"file\" \"first\" {\n options { file_path = \"{folder}/audit\" }\n}\n";
const FILE: &str = "seal \"file\" { path = \"{folder}/root.key\" }\n";
const LEFT: &str = "seal \"file\" {\n path = \"{folder}/root.key\"\n disabled = \"true\"\n}\n";

/// What the makers of an installation were told.
pub(crate) struct Told {
    pub(crate) root: String,
    pub(crate) shares: Vec<String>,
    /// What checks the record of the device `first`.
    pub(crate) public_key: String,
}

/// A place with this seal.
pub(crate) fn place(seal: &str) -> Place {
    let place = Place::new();
    place.configure(&format!("{REST}{seal}"));
    place
}

/// Initializes a store with shares of which two are needed, and leaves it as it is then.
pub(crate) async fn init(server: &Server, kind: &str, shares: u8) -> Told {
    let asked = json!({ format!("{kind}_shares"): shares, format!("{kind}_threshold"): 2 });
    let made = server.ask("", "PUT", "sys/init", asked).await.expect(200);
    let keys = if kind == "secret" { "keys_base64" } else { "recovery_keys_base64" };
    let keys = made.body[keys].as_array().unwrap();
    Told {
        root: made.at("/root_token").to_owned(),
        shares: keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect(),
        public_key: made.at("/audit_public_keys/first").to_owned(),
    }
}

/// Shows a share; returns the seal as it is then.
pub(crate) async fn show(server: &Server, share: &str) -> Value {
    server.ask("", "PUT", "sys/unseal", json!({ "key": share })).await.expect(200).body
}

async fn status(server: &Server) -> Value {
    server.ask("", "GET", "sys/seal-status", Value::Null).await.expect(200).body
}

/// Of how many shares how many are needed, and whether they are of a recovery key.
pub(crate) async fn split(server: &Server) -> Value {
    let status = status(server).await;
    json!([status["n"], status["t"], status["recovery_seal"]])
}

/// A server that people have unsealed.
pub(crate) async fn unsealed(place: &Place) -> (Server, Told) {
    let mut server = place.start();
    let told = init(&server, "secret", 3).await;
    for share in &told.shares[..2] {
        show(&server, share).await;
    }
    assert!(server.log().contains(&told.public_key), "it is the key that the device goes on with");
    told.root.clone_into(&mut server.token);
    (server, told)
}

#[tokio::test]
async fn a_sealed_server_serves_nobody_and_a_wrong_share_disturbs_nobody() {
    let place = place("");
    let server = place.start();
    let told = init(&server, "secret", 3).await;
    let health = server.get("sys/health").await.expect(503);
    assert_eq!((&health.body["initialized"], &health.body["sealed"]), (&json!(true), &json!(true)));
    for path in ["sys/mounts", "auth/token/lookup-self", "database/creds/app", "sys/seal", "nope"] {
        let refused = server.ask(&told.root, "PUT", path, json!({})).await.expect(503);
        assert_eq!(refused.errors(), "Vault is sealed", "{path}");
    }
    let first = show(&server, &told.shares[0]).await;
    assert_eq!((&first["progress"], &first["t"], &first["n"]), (&json!(1), &json!(2), &json!(3)));
    let mut wrong = told.shares[1].clone().into_bytes();
    wrong[5] = if wrong[5] == b'A' { b'B' } else { b'A' };
    let wrong = String::from_utf8(wrong).unwrap();
    for (body, error) in [
        (json!({ "key": wrong }), "the key share is not one of this installation's"),
        (json!({ "key": "not a share!" }), "'key' must be a valid hex or base64 string"),
        (json!({ "key": "AAAA" }), "invalid key: key is shorter than minimum 16 bytes"),
        (json!({ "key": ["a"] }), "Field validation failed"),
        (json!({}), "'key' must be specified in request body as JSON, or 'reset' set to true"),
        (json!({ "key": told.shares[1], "migrate": true }), "'migrate' parameter set true"),
    ] {
        let refused = server.ask("", "PUT", "sys/unseal", body).await.expect(400);
        assert!(refused.errors().starts_with(error), "{}", refused.text);
        assert!(!refused.text.contains(&wrong));
    }
    assert_eq!(status(&server).await, first);
    // In hexadecimal, as well as in base64.
    let script = "printf %s \"$0\" | base64 -d | od -An -v -tx1 | tr -d ' \\n'";
    let hex = Command::new("sh").args(["-c", script, &told.shares[2]]).output().unwrap();
    let open = show(&server, &String::from_utf8(hex.stdout).unwrap()).await;
    assert_eq!((&open["sealed"], &open["progress"]), (&json!(false), &json!(0)));
    let _ = server.ask(&told.root, "GET", "sys/mounts", Value::Null).await.expect(200);
    // Nothing more is needed, and nothing is asked of a share any more.
    assert_eq!(show(&server, &told.shares[0]).await["sealed"], false);
    let (audit, log) = (fs::read_to_string(place.path("audit")).unwrap(), server.log());
    for share in &told.shares {
        assert!(!audit.contains(share) && !log.contains(share));
    }
}

#[tokio::test]
async fn only_a_holder_undoes_what_other_holders_have_shown() {
    let place = place("");
    let server = place.start();
    let told = init(&server, "secret", 3).await;
    // Where nothing was shown there is nothing to undo.
    let _ = server.ask("", "PUT", "sys/unseal", json!({ "reset": true })).await.expect(200);
    show(&server, &told.shares[0]).await;
    let stranger = "ab".repeat(33);
    for body in [json!({ "reset": true }), json!({ "reset": true, "key": stranger })] {
        let refused = server.ask("", "PUT", "sys/unseal", body).await.expect(403);
        assert!(refused.errors().contains("only somebody with one"), "{}", refused.text);
        assert_eq!(status(&server).await["progress"], 1);
    }
    let body = json!({ "reset": true, "key": told.shares[1] });
    let reset = server.ask("", "PUT", "sys/unseal", body).await.expect(200);
    assert_eq!((&reset.body["progress"], &reset.body["nonce"]), (&json!(0), &json!("")));
    for share in &told.shares[1..] {
        show(&server, share).await;
    }
    assert_eq!(status(&server).await["sealed"], false);
}

#[tokio::test]
async fn leases_wait_while_the_store_is_sealed_and_go_on_after() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let lending = Lending::on(server).await;
    let short = json!({ "default_ttl": "2s" });
    let _ = lending.server.post("database/roles/app", short).await.expect(204);
    let lent = lending.lend().await;
    let stranger = lending.server.ask("", "PUT", "sys/seal", json!({})).await.expect(403);
    assert_eq!(stranger.errors(), "permission denied");

    let _ = lending.server.post("sys/seal", json!({})).await.expect(204);

    let health = lending.server.get("sys/health").await.expect(503);
    assert_eq!((&health.body["initialized"], &health.body["sealed"]), (&json!(true), &json!(true)));
    assert_eq!(lending.server.get("sys/mounts").await.expect(503).errors(), "Vault is sealed");
    // It lapses meanwhile, and nobody is there to remove it; PostgreSQL itself lets nobody in with it any more.
    until("the lease has lapsed at the target", async || lending.log_in(&lent).await.is_err())
        .await;
    assert_eq!(lending.users().await, std::slice::from_ref(&lent.username));
    for share in &told.shares[1..] {
        show(&lending.server, share).await;
    }
    lending.until_no_users().await;
    // A restart is a seal as well.
    let Lending { server, target } = lending;
    assert!(server.end().success());
    let lending = Lending { server: place.again(&told.root), target };
    let _ = lending.server.get("sys/health").await.expect(503);
    for share in &told.shares[..2] {
        show(&lending.server, share).await;
    }
    let _ = lending.lend().await;
}

#[tokio::test]
async fn a_request_that_has_begun_ends_well_when_the_store_is_sealed() {
    let place = place("");
    let (server, _) = unsealed(&place).await;
    let lending = Lending::on(server).await;
    let asks = (0..16).map(|_| lending.server.get("database/creds/app"));
    let (answers, sealed) = futures_util::future::join(
        futures_util::future::join_all(asks),
        lending.server.post("sys/seal", json!({})),
    )
    .await;
    let _ = sealed.expect(204);
    let lent = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert_eq!(lent + refused, 16);
    assert_eq!(lending.users().await.len(), lent);
}

#[tokio::test]
async fn a_store_moves_from_a_key_file_to_people_and_back() {
    let place = place(FILE);
    let server = place.start();
    let told = init(&server, "recovery", 3).await;
    assert_eq!(split(&server).await, json!([3, 2, true]));
    assert!(server.end().success());
    let old_key = fs::read(place.path("root.key")).unwrap();
    let migrate = |share: &str| json!({ "key": share, "migrate": true });

    // Without saying where the key is, there is no way to it.
    place.configure(REST);
    assert!(place.try_start().unwrap_err().contains("is not split among people"));
    place.configure(&format!("{REST}{LEFT}"));
    let server = place.start();
    assert_eq!(status(&server).await["migration"], true);
    assert_eq!(split(&server).await, json!([3, 2, true]), "these are to be shown");
    let plain = json!({ "key": told.shares[0] });
    let refused = server.ask("", "PUT", "sys/unseal", plain).await.expect(400);
    assert!(refused.errors().contains("'migrate' parameter must be set true"), "{}", refused.text);
    for share in &told.shares[..2] {
        let _ = server.ask("", "PUT", "sys/unseal", migrate(share)).await.expect(200);
    }
    let moved = status(&server).await;
    let expected = (&json!("shamir"), &json!(false), &json!(2), &json!(false));
    assert_eq!((&moved["type"], &moved["sealed"], &moved["t"], &moved["migration"]), expected);
    assert_eq!(split(&server).await, json!([3, 2, false]));
    let _ = server.ask(&told.root, "GET", "sys/mounts", Value::Null).await.expect(200);
    assert!(server.end().success());

    // The file opens nothing any more, and is not needed.
    fs::remove_file(place.path("root.key")).unwrap();
    place.configure(REST);
    let server = place.start();
    for share in &told.shares[1..] {
        show(&server, share).await;
    }
    assert_eq!(status(&server).await["sealed"], false);
    assert!(server.end().success());

    // And back: the shares become those of the recovery key.
    place.configure(&format!("{REST}{FILE}"));
    let server = place.start();
    for share in &told.shares[..2] {
        let _ = server.ask("", "PUT", "sys/unseal", migrate(share)).await.expect(200);
    }
    assert_eq!(status(&server).await["type"], "file");
    assert_eq!(split(&server).await, json!([3, 2, true]));
    assert!(server.end().success());
    assert_ne!(fs::read(place.path("root.key")).unwrap(), old_key);
    let server = place.start();
    let key = server.ask(&told.root, "GET", "sys/key-status", Value::Null).await.expect(200);
    assert_eq!(key.body["data"]["term"], 3, "each move began a key");
}

#[tokio::test]
async fn a_server_that_dies_while_its_seal_is_moved_is_on_the_one_side_or_the_other() {
    for (point, is_moved) in [("other.before-commit:1", false), ("other.after-commit:1", true)] {
        let place = place("");
        let server = place.start();
        let told = init(&server, "secret", 3).await;
        assert!(server.end().success());
        place.configure(&format!("{REST}{FILE}"));
        let mut command = Command::new(Build::KillPoints.binary());
        command.env("LEASEHOLD_KILL_AT", point);
        let mut server = place.try_start_by(command).unwrap();
        let body = |share: &str| json!({ "key": share, "migrate": true }).to_string();
        let _ = server
            .ask("", "PUT", "sys/unseal", json!({ "key": told.shares[0], "migrate": true }))
            .await
            .expect(200);
        let last = body(&told.shares[1]);
        let _ = server.raw(&format!(
            "PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{last}",
            last.len()
        ));
        until("the server is dead", async || server.ended().is_some()).await;

        let server = place.start();
        assert_eq!(status(&server).await["migration"], !is_moved, "{point}");
        if !is_moved {
            // The key that was written already is taken.
            for share in &told.shares[..2] {
                let body = json!({ "key": share, "migrate": true });
                let _ = server.ask("", "PUT", "sys/unseal", body).await.expect(200);
            }
        }
        let _ = server.ask(&told.root, "GET", "sys/mounts", Value::Null).await.expect(200);
        assert!(server.end().success());
        let _ = place.start().ask(&told.root, "GET", "sys/mounts", Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn a_store_opens_by_a_credential_of_systemd() {
    let place = place("seal \"credential\" { name = \"leasehold.key\" }\n");
    let folder = place.path("credentials");
    fs::create_dir(&folder).unwrap();
    let start = || {
        let mut command = Command::new(Build::Plain.binary());
        command.env("CREDENTIALS_DIRECTORY", &folder);
        place.try_start_by(command)
    };
    let server = start().unwrap();
    let refused = server.ask("", "PUT", "sys/init", json!({})).await.expect(500);
    assert!(refused.errors().contains("LoadCredential"), "{}", refused.text);
    fs::write(folder.join("leasehold.key"), [7; 32]).unwrap();
    Command::new("chmod").arg("0440").arg(folder.join("leasehold.key")).status().unwrap();
    let told = init(&server, "recovery", 2).await;
    assert!(server.end().success());
    let server = start().unwrap();
    assert_eq!(status(&server).await["type"], "credential");
    let _ = server.ask(&told.root, "GET", "sys/mounts", Value::Null).await.expect(200);
    drop(server);
    fs::remove_file(folder.join("leasehold.key")).unwrap();
    let failed = start().unwrap_err();
    assert!(failed.log.contains("LoadCredentialEncrypted"), "{}", failed.log);
}

#[tokio::test]
async fn what_cannot_be_a_seal_is_refused_before_anything_is_made() {
    let place = place("");
    let server = place.start();
    for (body, error) in [
        (json!({}), "invalid seal configuration: shares must be at least one"),
        (
            json!({ "secret_shares": 300, "secret_threshold": 3 }),
            "invalid seal configuration: shares must be less",
        ),
        (
            json!({ "secret_shares": 5, "secret_threshold": 1 }),
            "invalid seal configuration: threshold must be",
        ),
        (
            json!({ "secret_shares": 5, "secret_threshold": 3, "recovery_shares": 4, "recovery_threshold": 2 }),
            "parameters recovery_shares,recovery_threshold not applicable to seal type shamir",
        ),
        (
            json!({ "secret_shares": 5, "secret_threshold": 3, "pgp_keys": ["x"] }),
            "`pgp_keys` is not supported",
        ),
    ] {
        let refused = server.ask("", "PUT", "sys/init", body).await.expect(400);
        assert!(refused.errors().starts_with(error), "{}", refused.text);
    }
    assert_eq!(server.get("sys/init").await.body["initialized"], false);
    let unsealing = server.ask("", "PUT", "sys/unseal", json!({ "key": "ab".repeat(33) })).await;
    assert_eq!(unsealing.expect(400).errors(), "Vault is not initialized");
}

#[tokio::test]
async fn the_memory_is_locked_or_it_is_said_that_it_is_not() {
    let place = place("");
    let server = place.start();
    let all = locked_kib(&server) > 1024;
    let (is, keys, none) = ("the memory is locked", "only the pages of", "nothing is locked");
    let said = [is, keys, none].map(|what| server.log().contains(what));
    assert_eq!((said[0], said[1] || said[2]), (all, !all), "{}", server.log());
}

/// What the system says that a server has locked.
fn locked_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    locked.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn where_not_all_memory_may_be_locked_the_pages_of_keys_are() {
    let place = place(FILE);
    let start = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--memlock={limit}"));
        // Root would have the capability to lock all that it likes; nobody else may give it up.
        if std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0 {
            command.args(["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]);
        }
        command.arg(Build::Plain.binary());
        place.try_start_by(command)
    };
    let server = start("1048576").unwrap();
    let before = locked_kib(&server);
    assert!(server.log().contains("only the pages of long-lived keys are locked"));
    let _ = init(&server, "recovery", 2).await;
    // The root key, the ring, the key of tokens and those that are derived from it are pages of their own.
    let opened = locked_kib(&server);
    assert!(opened >= before + 4 * 4 && opened <= 1024, "{before} {opened}");
    assert!(server.end().success());
    let server = start("0").unwrap();
    assert!(server.log().contains("nothing is locked, and keys may be swapped out"));
    assert_eq!((locked_kib(&server), status(&server).await["sealed"].clone()), (0, json!(false)));
}

#[tokio::test]
async fn the_memory_is_dumped_nowhere() {
    let place = place("");
    let server = place.start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let bounds: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(bounds, ["0", "0"], "{core}");
    // What is not to be dumped belongs to root in `/proc`, whoever runs it: nobody else attaches to it.
    let name = format!("/proc/{}/environ", server.pid());
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(name).unwrap());
    assert_eq!(owner, 0);
}

#[tokio::test]
async fn a_backup_of_a_store_that_people_open_is_restored_by_their_shares() {
    let place = place("");
    let (server, told) = unsealed(&place).await;
    let _ = server.post("sys/mounts/kept", json!({ "type": "database" })).await.expect(204);
    let backup = place.path("backup").display().to_string();
    assert!(server.command(&["operator", "backup", &backup]).status().unwrap().success());
    assert!(server.end().success());
    fs::remove_dir_all(place.path("store")).unwrap();
    let config = format!("-config={}", place.path("config.hcl").display());
    let restore = |shares: &[String]| {
        let keys: Vec<_> = shares.iter().map(|share| format!("-key={share}")).collect();
        let keys = keys.iter().map(String::as_str);
        let arguments: Vec<_> = ["operator", "restore", &config]
            .into_iter()
            .chain(keys)
            .chain([backup.as_str()])
            .collect();
        let done = command(&arguments).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let wrong = "ab".repeat(33);
    for (shares, error) in [
        (vec![told.shares[0].clone(), wrong], "is none of this backup's"),
        (vec!["nonsense!".to_owned()], "must be a valid hex or base64 string"),
        (told.shares[..1].to_vec(), "there is no terminal to ask"),
    ] {
        let (restored, said) = restore(&shares);
        assert!(!restored && said.contains(error), "{said}");
    }
    assert!(!place.path("store/leasehold.redb").exists());
    let (restored, said) = restore(&told.shares[1..]);
    assert!(restored, "{said}");
    let server = place.start();
    for share in &told.shares[..2] {
        show(&server, share).await;
    }
    let _ = server.ask(&told.root, "GET", "sys/mounts/kept", Value::Null).await.expect(200);
}
