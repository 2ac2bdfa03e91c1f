//! What strangers and broken clients send, at the level of bytes and connections: each gets a clear answer, holds nothing
//! that others need, and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use leasehold_integration_tests::server::Server;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: u64 = 1 << 20;
/// How long the server may take to end a connection that sends nothing more: its own bounds are 10 s for a head and
/// 30 s for a body, and a loaded machine needs a while.
const ENDED_WITHIN: Duration = Duration::from_mins(2);

/// Returns what is told of a process's memory, in bytes: `VmRSS` for now, `VmHWM` for the most there was.
fn memory(server: &Server, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap().saturating_mul(1024)
}

/// Sends bytes and returns what comes until the server closes the connection. Errors count as the end.
fn sent(server: &Server, bytes: &[u8]) -> String {
    let mut stream = server.connect();
    stream.set_read_timeout(Some(ENDED_WITHIN)).unwrap();
    let _ = stream.write_all(bytes);
    rest(stream)
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

/// Checks that the server is as it was: nothing was mounted, and it answers.
async fn is_as_it_was(server: &Server) {
    let listed = server.get("sys/mounts").await.expect(200);
    assert_eq!(listed.data().as_object().unwrap().len(), 3, "{}", listed.text);
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_and_change_nothing() {
    let server = Server::dev();
    let token = "X-Vault-Token: root\r\n";
    let long =
        format!("GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
    let mount = "/v1/sys/mounts/x";
    let body = r#"{"type":"database"}"#;
    let mut cases: Vec<Vec<u8>> = vec![
        long.into_bytes(),
        many.into_bytes(),
        b"\r\n\r\n\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
        b"nonsense\r\n\r\n".to_vec(),
        b"GET /v1/sys/mounts\r\n\r\n".to_vec(),
        b"GET /v1/sys/mounts HTTP/3.7\r\nHost: x\r\n\r\n".to_vec(),
        b"GET /v1/sys/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-Vault-Token: ro\0ot\r\n\r\n".to_vec(),
        b"GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-Vault-Token: \xff\xfe\r\n\r\n".to_vec(),
    ];
    for framing in [
        "Content-Length: -5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 19\r\nContent-Length: 20\r\n",
        "Content-Length: 19\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: nonsense\r\n",
    ] {
        let head = format!(
            "POST {mount} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\n{framing}\r\n{body}"
        );
        cases.push(head.into_bytes());
    }
    for chunks in ["fffffffffffffffff\r\nx", "zz\r\nx", "-1\r\nx", "5\r\n{}garbage\r\n0\r\n\r\n"] {
        let head = format!(
            "POST {mount} HTTP/1.1\r\nHost: x\r\n{token}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        cases.push(head.into_bytes());
    }
    for case in cases {
        let shown = String::from_utf8_lossy(case.get(..case.len().min(120)).unwrap()).into_owned();
        let answer = sent(&server, &case);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
        is_as_it_was(&server).await;
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// A JSON body that is small to send and costly to read.
#[tokio::test]
async fn whatever_the_method_or_the_shape_of_a_body_the_answer_is_vaults() {
    let server = Server::dev();
    let deep = |open: &str, close: &str| {
        format!("{{\"type\":\"database\",\"x\":{}1{}}}", open.repeat(1000), close.repeat(1000))
    };
    let (lists, objects) = (deep("[", "]"), deep("{\"a\":", "}"));
    let writes =
        ["sys/mounts/x", "auth/token/create", "sys/leases/renew", "sys/init", "sys/mounts/x/tune"];
    for path in writes {
        for (body, form) in [
            (lists.as_str(), false),
            (objects.as_str(), false),
            ("{\"type\":", false),
            ("\u{feff}{}", false),
            ("a=%ff", true),
            ("a=%zz", true),
        ] {
            let headers = [("Content-Type", "application/x-www-form-urlencoded")];
            let headers = if form { &headers[..] } else { &[] };
            let body = body.as_bytes().to_vec();
            let answer = server.send("root", "POST", path, headers, body).await.expect(400);
            assert!(answer.body["errors"][0].is_string(), "{path}: {}", answer.text);
        }
    }
    for method in ["PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "get"] {
        let answer =
            server.ask("root", method, "sys/mounts/x", json!({ "type": "database" })).await;
        assert_eq!(answer.expect(405).body, json!({ "errors": [] }), "{method}");
    }
    is_as_it_was(&server).await;
}

/// A body without a token that fills the memory.
#[tokio::test]
async fn cve_2023_6337_bodies_past_the_bound_are_refused_and_memory_stays_flat() {
    let server = Server::dev();
    let before = memory(&server, "VmRSS");
    let body = vec![b'x'; 40 << 20];
    for token in ["root", "wrong", ""] {
        for path in ["sys/mounts/x", "auth/token/create", "sys/init", "nope/a"] {
            let answer = server.send(token, "POST", path, &[], body.clone()).await.expect(413);
            let told = match (path, token) {
                ("sys/init", _) => {
                    "the request body is larger than 64 KiB, and the path is open to all"
                }
                (_, "") => "the request body is larger than 64 KiB, and there is no token",
                _ => "the request body is larger than 32 MiB",
            };
            assert_eq!(answer.errors(), told, "{path}");
        }
    }
    // Without its length told, as much is read as there may be.
    let mut stream = server.connect();
    let head = "POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: wrong\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    let all_taken = (0..40).all(|_| stream.write_all(&chunk).is_ok());
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 413 ") || !all_taken, "{answer}");
    is_as_it_was(&server).await;
    let most = memory(&server, "VmHWM") - before;
    assert!(most < 150 * MIB, "{} MiB more than before", most / MIB);
}

/// Requests without a token that together fill the memory.
#[tokio::test]
async fn cve_2024_8185_strangers_bodies_together_take_a_bounded_part_of_memory() {
    let server = Server::dev();
    let before = memory(&server, "VmRSS");
    // Eight times half of the longest: all that there may be. Each begins a body, and leaves it; whoever finds no room,
    // or is cut off for being slow, begins again. They say that they have a token, for without one there is no large
    // body at all.
    let opening = "POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: wrong\r\n\
                   Content-Length: 33554432\r\n\r\n";
    let opening: Arc<[u8]> = [opening.as_bytes(), &vec![b'x'; 16 << 20]].concat().into();
    let mut stalled = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (address, opening) = (server.address().to_owned(), Arc::clone(&opening));
        stalled.spawn(async move {
            loop {
                let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
                if stream.write_all(&opening).await.is_ok() {
                    let _ = stream.read(&mut [0; 1024]).await;
                }
            }
        });
    }
    let text = "x".repeat(100 << 10);
    let large = json!({ "type": "nope", "description": text }).to_string().into_bytes();
    let ask = async || server.send("root", "POST", "sys/mounts/x", &[], large.clone()).await;
    let refused = async {
        loop {
            let answer = ask().await;
            if answer.status == 503 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(ENDED_WITHIN, refused).await.unwrap();
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.errors(), "too many large request bodies at once; try again");
    // Whoever sends what callers send does not notice.
    let _ = server.post("auth/token/create", json!({ "ttl": "1h" })).await.expect(200);
    is_as_it_was(&server).await;
    let most = memory(&server, "VmHWM") - before;
    assert!(most < 400 * MIB, "{} MiB more than before", most / MIB);

    drop(stalled);
    let accepted = async { while ask().await.status == 503 {} };
    tokio::time::timeout(ENDED_WITHIN, accepted).await.unwrap();
    assert!(ask().await.expect(400).errors().starts_with("plugin not found"));
}

#[tokio::test]
async fn no_token_makes_room_for_a_large_body_where_none_is_needed() {
    let server = Server::dev();
    for kind in ["userpass", "approle"] {
        let _ = server.post(&format!("sys/auth/{kind}"), json!({ "type": kind })).await.expect(204);
    }
    let body = json!({ "password": "x".repeat(70 << 10) }).to_string().into_bytes();
    for token in ["", "x", "root"] {
        for path in [
            "auth/userpass/login/ann",
            "auth/approle/login",
            "sys/unseal",
            "sys/init",
            "sys/generate-root/update",
        ] {
            let refused = server.send(token, "POST", path, &[], body.clone()).await;
            assert_eq!(refused.status, 413, "{path} with {token:?}: {}", refused.text);
            let told = "the request body is larger than 64 KiB, and the path is open to all";
            assert_eq!(refused.errors(), told, "{path} with {token:?}");
        }
    }
    let long = json!({ "policies": ["x"], "junk": "x".repeat(70 << 10) });
    let _ = server.post("auth/token/create", long).await.expect(200);
}

#[tokio::test]
async fn a_slow_sender_is_cut_off_and_others_are_served_meanwhile() {
    let server = Server::dev();
    let body = "POST /v1/sys/mounts/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\nContent-Length: 5000\r\n\r\n{";
    let slow = async |begins: &str, drips: bool| {
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(begins.as_bytes()).await.unwrap();
        let (mut reads, mut writes) = stream.split();
        let mut answer = Vec::new();
        let dripping = async {
            while drips && writes.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = reads.read_to_end(&mut answer) => {}
            () = dripping => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let stranger = "GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-Vault-Token: wrong\r\n\r\nGET /v1/";
    let senders = futures_util::future::join5(
        slow("", false),
        slow("GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-", true),
        slow(body, false),
        slow(body, true),
        // A second request that never ends is nothing a stranger gets to begin.
        slow(stranger, true),
    );
    let serving = async {
        loop {
            is_as_it_was(&server).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answers = async {
        tokio::select! {
            answers = senders => answers,
            () = serving => unreachable_answers(),
        }
    };
    let answers = tokio::time::timeout(ENDED_WITHIN, answers).await.unwrap();
    let (nothing, head, body, dripped, second) = answers;
    for (answer, status) in [(head, "408"), (body, "408"), (dripped, "408"), (second, "403")] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert!(nothing.is_empty() || nothing.starts_with("HTTP/1.1 408 "), "{nothing}");
    is_as_it_was(&server).await;
}

/// Stands for what a loop without end returns.
fn unreachable_answers() -> (String, String, String, String, String) {
    Default::default()
}

#[tokio::test]
async fn requests_in_a_row_and_half_closed_connections_are_answered_whole() {
    let server = Server::dev();
    let ask = "GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\n\r\n";
    let last = ask.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answers = sent(&server, format!("{}{last}", ask.repeat(99)).as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);

    // What stands behind a body is no part of it.
    let smuggled = post("/v1/sys/mounts/x", "X-Vault-Token: wrong\r\n", "{}")
        + "{\"type\":\"database\"}\r\n\r\n";
    let answers = sent(&server, smuggled.as_bytes());
    assert!(answers.starts_with("HTTP/1.1 403 ") && !answers.contains("HTTP/1.1 2"), "{answers}");

    let mut stream = server.connect();
    stream.write_all(ask.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 200 OK"));

    // What was cut off in the middle of its body is not done.
    let whole = post("/v1/sys/mounts/x", "X-Vault-Token: root\r\n", r#"{"type":"database"}"#);
    let mut stream = server.connect();
    stream.write_all(whole.as_bytes().get(..whole.len() - 1).unwrap()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    is_as_it_was(&server).await;
}

/// Idle connections that nobody else should feel.
const IDLE: usize = 10_000;

/// How many there are: fewer where the machine lets a process have fewer files.
#[expect(clippy::print_stderr, reason = "a machine that forbids the whole test must not hide it")]
fn idle_connections() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let allowed = usize::try_from(hard.saturating_sub(1000)).unwrap_or(usize::MAX);
    if allowed < IDLE {
        eprintln!("only {allowed} idle connections instead of {IDLE}: `ulimit -Hn` is {hard}");
    }
    allowed.min(IDLE)
}

#[tokio::test]
async fn idle_connections_keep_nobody_waiting() {
    let server = Server::dev();
    let before = memory(&server, "VmRSS");
    let wanted = idle_connections();
    let ask = "GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: x\r\nX-Vault-Token: root\r\n\r\n";
    let mut idle = Vec::new();
    while idle.len() < wanted {
        let open = (0..100).map(async |_| {
            let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(ask.as_bytes()).await.unwrap();
            let mut answer = [0; 4096];
            let length = stream.read(&mut answer).await.unwrap();
            let answer = answer.get(..length).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(answer));
            stream
        });
        idle.extend(futures_util::future::join_all(open).await);
    }
    // A thousand times round on new connections and on kept ones: quick enough for all of them together.
    let asking = async {
        for _ in 0..500 {
            let _ = server.get("auth/token/lookup-self").await.expect(200);
            let fresh = tokio::net::TcpStream::connect(server.address()).await;
            fresh.unwrap().write_all(ask.as_bytes()).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap();
    let each = (memory(&server, "VmRSS") - before) / u64::try_from(wanted).unwrap();
    assert!(each < 64 * 1024, "{each} bytes for each connection");
    drop(idle);
    is_as_it_was(&server).await;
}
