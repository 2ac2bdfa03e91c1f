//! What a user is told when it does not work, and what to try next.

use crate::support::{Run, Server, answer, envelope};
use serde_json::json;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

#[test]
fn an_error_reads_as_vaults_does() {
    let server = Server::with(&[(400, r#"{"errors":["unknown role: x"]}"#)]);
    let outcome = Run::at(&server, &["read", "database/creds/x"]).run();
    assert_eq!((outcome.exit, outcome.out.as_str()), (2, ""));
    assert_eq!(
        outcome.err,
        format!(
            "Error reading database/creds/x: Error making API request.\n\n\
             URL: GET {}/v1/database/creds/x\nCode: 400. Errors:\n\n* unknown role: x\n",
            server.address
        )
    );
}

#[test]
fn each_command_says_what_it_was_doing() {
    for (arguments, words) in [
        (&["read", "a/b"][..], "Error reading a/b: "),
        (&["write", "a/b", "c=d"], "Error writing data to a/b: "),
        (&["list", "a/b"], "Error listing a/b: "),
        (&["delete", "a/b"], "Error deleting a/b: "),
        (&["lease", "renew", "a/b"], "Error renewing a/b: "),
        (&["lease", "list", "a/b"], "Error listing leases under a/b: "),
        (&["token", "create"], "Error creating token: "),
        (&["token", "lookup"], "Error looking up token: "),
        (&["token", "renew"], "Error renewing token: "),
        (&["token", "revoke", "-self"], "Error revoking token: "),
        (&["login", "x"], "Error authenticating: "),
        (&["secrets", "tune", "-description=x", "kv"], "Error tuning secrets engine kv/: "),
        (&["secrets", "list"], "Error listing secrets engines: "),
        (&["secrets", "enable", "kv"], "Error enabling: kv: "),
        (&["auth", "tune", "-description=x", "up"], "Error tuning auth method up/: "),
        (&["auth", "list"], "Error listing auth methods: "),
        (&["auth", "enable", "up"], "Error enabling: up: "),
        (&["auth", "disable", "up"], "Error disabling auth method at up/: "),
        (&["secrets", "disable", "kv"], "Error disabling secrets engine at kv/: "),
        (&["operator", "init"], "Error initializing: "),
        (&["operator", "clock"], "Error reading the clock: "),
        (&["operator", "accept-clock"], "Error accepting the clock: "),
    ] {
        let server = Server::with(&[(400, r#"{"errors":["no"]}"#)]);
        let outcome = Run::at(&server, arguments).run();
        assert_eq!(outcome.exit, 2, "{outcome:?}");
        assert!(outcome.err.starts_with(words), "{outcome:?}");
    }
}

#[test]
fn a_failure_is_never_retried() {
    for status in [412, 429, 500, 502, 503] {
        let server = Server::with(&[(status, r#"{"errors":["no"]}"#)]);
        assert_eq!(Run::at(&server, &["read", "database/creds/x"]).run().exit, 2);
        assert_eq!(server.lines().len(), 1, "{status}");
    }
}

#[test]
fn what_to_try_next_is_said() {
    let denied = r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
    let sealed = r#"{"errors":["Vault is sealed"]}"#;
    for (status, body, hint) in [
        (403, denied, "The token may have ended, or its policies do not allow this."),
        (503, sealed, "`leasehold status` shows what the seal waits for"),
        (429, r#"{"errors":["slow down"]}"#, "wait a little, then ask again"),
        (500, r#"{"errors":["oh"]}"#, "The server's log says more."),
        (
            400,
            "Client sent an HTTP request to an HTTPS server.\n",
            "use -address=https://127.0.0.1:",
        ),
    ] {
        let server = Server::with(&[(status, body)]);
        let outcome = Run::at(&server, &["write", "kv/a", "b=c"]).run();
        assert_eq!(outcome.exit, 2);
        assert!(outcome.err.contains(hint), "{}", outcome.err);
        assert!(!outcome.err.contains("tok-1"), "{}", outcome.err);
    }
    let server = Server::with(&[(403, denied)]);
    let outcome = Run::at(&server, &["token", "lookup"]).run();
    assert!(outcome.err.contains("log in with another"), "{}", outcome.err);
    let server = Server::with(&[(403, denied)]);
    let outcome = Run::of(&["read", "kv/a", "-address", &server.address]).run();
    assert!(
        outcome.err.contains("No token was sent: log in with `leasehold login`"),
        "{}",
        outcome.err
    );
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let outcome = Run::of(&["read", "kv/a"]).env("LEASEHOLD_ADDR", &address).run();
    assert_eq!(outcome.exit, 2);
    let expected =
        format!("Error reading kv/a: no server answers at {address}: Connection refused");
    assert!(outcome.err.starts_with(&expected), "{}", outcome.err);
    assert!(outcome.err.contains("Start one with `leasehold server -dev`"), "{}", outcome.err);
    assert_eq!(Run::of(&["status", "-address", &address]).run().exit, 1);
}

#[test]
fn a_plain_server_asked_with_tls_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.map(|mut stream| stream.write_all(answer(400, "", "").as_bytes()));
        }
    });
    let address = format!("https://127.0.0.1:{port}");
    let outcome = Run::of(&["read", "kv/a", "-tls-skip-verify", "-address", &address]).run();
    assert_eq!(outcome.exit, 2);
    let hint = format!("set LEASEHOLD_ADDR=http://127.0.0.1:{port} (or VAULT_ADDR)");
    assert!(outcome.err.contains(&hint), "{}", outcome.err);
}

#[test]
fn a_tls_server_asked_without_is_explained() {
    // A TLS alert: the first bytes such a server sends to one who speaks plain HTTP.
    let server = Server::with_raw(["\u{15}\u{3}\u{1}\0\u{2}\u{2}F".to_owned()].into());
    let outcome = Run::at(&server, &["read", "kv/a"]).run();
    assert_eq!(outcome.exit, 2);
    let https = server.address.replace("http:", "https:");
    assert!(
        outcome.err.contains(&format!("It may speak TLS: try -address={https}.")),
        "{outcome:?}"
    );
}

#[test]
fn an_address_without_a_scheme_is_explained() {
    for address in ["127.0.0.1:8200", "localhost:8200"] {
        let outcome = Run::of(&["status"]).env("VAULT_ADDR", address).run();
        assert_eq!(outcome.exit, 1);
        let expected =
            format!("the address `{address}` does not begin with `http://` or `https://`");
        assert!(outcome.err.starts_with(&expected), "{}", outcome.err);
    }
}

#[test]
fn a_stranger_is_not_taken_for_a_server() {
    let server = Server::with(&[(200, "<html>It works!</html>")]);
    let outcome = Run::at(&server, &["read", "kv/a"]).run();
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.contains("the answer is not JSON:\n\n<html>It works!"), "{}", outcome.err);
    assert!(outcome.err.contains("Is that a Leasehold server?"), "{}", outcome.err);

    let server = Server::with(&[(502, "<html>Bad Gateway</html>")]);
    let outcome = Run::at(&server, &["read", "kv/a"]).run();
    assert_eq!(outcome.exit, 2);
    let expected = "Code: 502. Raw Message:\n\n<html>Bad Gateway</html>\n";
    assert!(outcome.err.contains(expected), "{}", outcome.err);
}

#[test]
fn the_token_does_not_follow_a_redirect() {
    let elsewhere = Server::with(&[(200, &envelope(&json!({"a": 1})))]);
    let to = format!("Location: {}/v1/kv/a\r\n", elsewhere.address);
    let server = Server::with_raw([answer(307, "", &to)].into());
    let outcome = Run::at(&server, &["read", "kv/a"]).run();
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.contains("Redirects are not followed"), "{}", outcome.err);
    assert!(outcome.err.contains(&elsewhere.address), "{}", outcome.err);
    assert_eq!(elsewhere.lines().len(), 0);
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_forever() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    // Connections wait in the queue of the listener, and nobody ever answers.
    let run = Run::of(&["read", "kv/a", "-address", &address]).env("VAULT_CLIENT_TIMEOUT", "1s");
    let outcome = run.run();
    drop(listener);
    assert_eq!(outcome.exit, 2);
    assert!(outcome.err.contains("the time was up"), "{}", outcome.err);
    assert!(outcome.err.contains("may have done what was asked"), "{}", outcome.err);
}

#[test]
fn a_connection_that_breaks_is_not_taken_for_an_answer() {
    for text in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\":"] {
        let server = Server::with_raw([text.to_owned()].into());
        let outcome = Run::at(&server, &["write", "kv/a", "b=c"]).run();
        assert_eq!((outcome.exit, outcome.out.as_str()), (2, ""));
        assert!(outcome.err.contains("may have done what was asked"), "{}", outcome.err);
        assert_eq!(server.lines().len(), 1);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let keys: Vec<_> = (0..100_000).map(|key| format!("key-{key}")).collect();
    let server = Server::with(&[(200, &envelope(&json!({ "keys": keys })))]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .args(["list", "kv", "-address", &server.address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let server = Server::with(&[(200, "{}"), (200, r#"{"root_token":"hvs.root"}"#)]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .args(["operator", "init", "-address", &server.address])
        .stdout(full)
        .output()
        .expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the result could not be written"), "{text}");
}
