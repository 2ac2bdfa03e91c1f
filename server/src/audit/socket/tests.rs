//! Tests of the devices that hand lines to somebody else: real sockets, which listen, block, and answer.

use super::*;
use crate::audit::{http, syslog};
use crate::chance::SystemChance;
use crate::time::SystemClock;
use leasehold_core::audit::verify::{Report, Verifier};
use leasehold_core::audit::{Audit as _, Beginning, DeviceKeys};
use leasehold_core::ids::InstallationId;
use leasehold_core::time::Timestamp;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::Handle;

const WITHIN: Duration = Duration::from_secs(20);

fn keys() -> DeviceKeys {
    DeviceKeys::draw(&SystemChance, Timestamp(0))
}

async fn begun(device: Device, keys: &DeviceKeys) -> Device {
    let clock = Arc::new(SystemClock::start().unwrap());
    let installation = InstallationId::from_bytes([1; 16]);
    let beginning = Beginning { key: keys.chain(), kept: None, installation, clock };
    // A device that cannot be reached begins all the same.
    let _ = device.begin(beginning).await;
    device
}

fn line(id: usize) -> String {
    format!(r#"{{"type":"request","request":{{"id":"{id}"}}}}"#)
}

fn verified(keys: &DeviceKeys, text: &str) -> Report {
    let mut verifier = Verifier::new([keys.chain().public().as_str()]).unwrap();
    for line in text.lines() {
        verifier.line(line.as_bytes());
    }
    verifier.finish()
}

#[tokio::test]
async fn syslog_gets_a_message_a_line_in_the_form_of_the_c_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(WITHIN)).unwrap();
    let keys = keys();
    let device = begun(syslog::open("log", &path, 4, "leasehold").unwrap(), &keys).await;
    assert!(!device.acknowledges());
    device.record(line(1)).await.unwrap();
    let mut text = String::new();
    for _ in 0..2 {
        let mut message = vec![0; 1 << 16];
        let length = listener.recv(&mut message).unwrap();
        message.truncate(length);
        let message = String::from_utf8(message).unwrap();
        let (head, line) = message.split_once(": ").unwrap();
        // The facility `auth` and informational, a time of fifteen characters, and who writes.
        assert!(head.starts_with("<38>"), "{head}");
        assert!(head.ends_with(&format!(" leasehold[{}]", std::process::id())), "{head}");
        assert_eq!(head.len(), format!("<38> leasehold[{}]", std::process::id()).len() + 15);
        text.push_str(line);
        text.push('\n');
    }
    assert!(verified(&keys, &text).is_sound(), "{text}");
}

#[tokio::test]
async fn syslog_that_listens_for_streams_is_served_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let listener = UnixListener::bind(&path).unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    });
    let device = syslog::open("log", &path, 16, "x").unwrap();
    device.record(line(1)).await.unwrap();
    drop(device);
    let text = reader.join().unwrap();
    assert!(text.starts_with("<134>") && text.ends_with("}}\0"), "{text}");
}

#[tokio::test]
async fn sockets_of_each_kind_get_the_lines() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let readers: Vec<JoinHandle<String>> = vec![
        thread::spawn(move || read_all(tcp.accept().unwrap().0)),
        thread::spawn(move || read_all(unix.accept().unwrap().0)),
    ];
    let path = path.display().to_string();
    let kinds = [(address, SocketKind::Tcp), (path, SocketKind::Unix)];
    for ((address, kind), reader) in kinds.into_iter().zip(readers) {
        let keys = keys();
        let device = begun(open("s", &address, kind, WITHIN).unwrap(), &keys).await;
        device.record(line(1)).await.unwrap();
        device.record(line(2)).await.unwrap();
        drop(device);
        let report = verified(&keys, &reader.join().unwrap());
        assert!(report.is_sound() && report.lines == 3, "{report:?}");
    }
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(WITHIN)).unwrap();
    let address = udp.local_addr().unwrap().to_string();
    let device = open("s", &address, SocketKind::Udp, WITHIN).unwrap();
    device.record(line(7)).await.unwrap();
    let mut message = vec![0; 1024];
    let length = udp.recv(&mut message).unwrap();
    assert_eq!(message[..length], *line(7).as_bytes());
}

fn read_all(mut from: impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_reads_nothing_blocks_nobody_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let timeout = Duration::from_millis(100);
    let device = Arc::new(open("s", &address, SocketKind::Tcp, timeout).unwrap());
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    let watch = Stopwatch::start();
    // More than the system takes on the way; nobody waits for room.
    for _ in 0..1000 {
        drop(device.record(long.clone()));
    }
    assert!(watch.took() < WITHIN, "{:?}", watch.took());
    let load = device.load();
    assert!(load.missed > 0 && load.waiting < 200, "{load:?}");
    // The end does not wait for what will never be read.
    drop(device);
    assert!(watch.took() < WITHIN, "{:?}", watch.took());
}

/// Answers each request with the next of these statuses, and returns the bodies.
fn server(statuses: &[u16]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/audit", listener.local_addr().unwrap());
    let statuses = statuses.to_vec();
    let serving = thread::spawn(move || {
        let mut bodies = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut text = String::new();
            let mut piece = [0; 4096];
            let body = loop {
                let length = stream.read(&mut piece).unwrap();
                text.push_str(std::str::from_utf8(&piece[..length]).unwrap());
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                assert!(head.contains("authorization: bearer x"), "{head}");
                let length = head.split_once("content-length: ").unwrap().1;
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                if body.len() >= length {
                    break body.to_owned();
                }
            };
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            bodies.push(body);
        }
        bodies
    });
    (uri, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_server_acknowledges_by_its_status_and_by_nothing_else() {
    // The beginning, a line, three that fail, and one that is taken.
    let (uri, serving) = server(&[200, 204, 500, 302, 404, 200]);
    let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer x".to_owned())]);
    let device = http::open("h", &uri, &headers, WITHIN, Handle::current()).unwrap();
    assert!(device.acknowledges());
    let keys = keys();
    let device = begun(device, &keys).await;
    device.record(line(1)).await.unwrap();
    for (id, status) in [(2, "500"), (3, "302"), (4, "404")] {
        let refused = device.record(line(id)).await.unwrap_err();
        assert!(refused.reason.contains(status), "{refused}");
    }
    device.record(line(5)).await.unwrap();
    assert_eq!(device.load().failed, 3);
    let bodies = serving.join().unwrap();
    // What was refused may have been kept all the same: both ways the record is sound, and tells of a gap.
    let kept = [&bodies[0], &bodies[1], &bodies[5]].map(String::as_str).concat();
    for text in [kept, bodies.concat()] {
        let report = verified(&keys, &text);
        assert!(report.is_sound() && !report.findings.is_empty(), "{report:?}");
    }
    // Nobody listens any more.
    assert!(device.record(line(6)).await.is_err());
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_refused_without_its_value() {
    let headers = BTreeMap::from([("X-Key".to_owned(), "canary\n".to_owned())]);
    let refused = http::open("h", "http://127.0.0.1:1", &headers, WITHIN, Handle::current());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("X-Key") && !refused.contains("canary"), "{refused}");
}
