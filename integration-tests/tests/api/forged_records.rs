//! Records that somebody wrote who has no key, and who can count and hash.

#![expect(clippy::expect_used, reason = "a record that is not what it must be fails the test")]

use aws_lc_rs::digest::{SHA256, digest};
use leasehold_integration_tests::server::{Place, command};
use serde_json::{Value, json};
use std::fs;

fn hash(line: &str) -> String {
    let digest = digest(&SHA256, line.as_bytes());
    let bytes = digest.as_ref().iter();
    bytes.fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Writes all lines anew but for the first ones: other bodies, no signature, and a chain that fits.
fn forge(record: &str, kept: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, line) in record.lines().enumerate() {
        if at < kept {
            lines.push(line.to_owned());
            continue;
        }
        let mut forged: Value = serde_json::from_str(line).expect("JSON");
        let fields = forged.as_object_mut().expect("an object");
        fields.remove("signature");
        fields.remove("note");
        fields.insert("type".to_owned(), json!("request"));
        fields.insert("request".to_owned(), json!({ "path": "sys/health", "forged": true }));
        let previous = lines.last().map_or("0".repeat(64), |line| hash(line));
        let mut chain = fields.remove("chain").expect("each line is of the chain");
        let place = chain.as_object_mut().expect("an object");
        place.insert("previous".to_owned(), json!(previous));
        // What is about the chain stands at the end.
        let body = forged.to_string();
        let body = body.strip_suffix('}').expect("an object");
        lines.push(format!(r#"{body},"chain":{chain}}}"#));
    }
    lines
}

#[tokio::test]
async fn a_record_that_was_written_anew_without_the_key_is_not_sound() {
    let place = Place::new();
    let server = place.found().await;
    let shown = server.get("sys/audit").await.expect(200).at("/data/first~1/public_key").to_owned();
    let key = format!("-public-key={shown}");
    for _ in 0..20 {
        let _ = server.get("sys/mounts").await.expect(200);
    }
    assert!(server.end().success());
    let (path, forged) = (place.path("audit"), place.path("forged").display().to_string());
    let real = fs::read_to_string(&path).unwrap();
    let count = real.lines().count();
    let last = hash(real.lines().last().unwrap());
    let verified = |path: &str, reaches: Option<&str>| {
        let reaches = reaches.map(|end| format!("-reaches={end}"));
        let mut arguments = vec!["audit", "verify", &key];
        arguments.extend(reaches.as_deref());
        arguments.push(path);
        let done = command(&arguments).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let path = path.display().to_string();
    for (keys, code, told) in [
        (format!("{shown}\n"), 0, "is sound"),
        (format!("first  {shown}\n"), 0, "is sound"),
        (format!("far  {}\nfirst  {shown}\n", "0".repeat(64)), 1, "`far`, `first`"),
        (format!("first  {}\n", "0".repeat(64)), 2, "NOT sound"),
        ("\n".to_owned(), 1, "64 hexadecimal digits"),
    ] {
        fs::write(place.path("pub"), &keys).unwrap();
        let key = format!("-public-key=@{}", place.path("pub").display());
        let done = command(&["audit", "verify", &key, &path]).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!((done.status.code(), said.contains(told)), (Some(code), true), "{keys}: {said}");
    }
    for end in [None, Some(count.to_string()), Some(format!("{count}:{last}"))] {
        assert_eq!(verified(&path, end.as_deref()).0, Some(0), "{end:?}");
    }
    for kept in [0, 1, 10] {
        let lines = forge(&real, kept);
        fs::write(&forged, lines.join("\n") + "\n").unwrap();
        for end in [count.to_string(), format!("{count}:{last}")] {
            let (code, said) = verified(&forged, Some(&end));
            assert_eq!(code, Some(2), "{kept} {end}: {said}");
        }
        let (code, said) = verified(&forged, None);
        let signed = real.lines().take(kept).filter(|line| line.contains("\"signature\"")).count();
        if kept == 0 {
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("FAULT") && said.contains("unsigned"), "{said}");
        } else {
            // They could be of the last second of a server that died: no fault, and nothing that is vouched for.
            assert!(signed > 0, "a record begins with a signed line");
            assert!(!said.contains(&format!("sound up to line {count}")), "{said}");
            assert!(said.contains("lines that nothing signs"), "{said}");
        }
    }
}
