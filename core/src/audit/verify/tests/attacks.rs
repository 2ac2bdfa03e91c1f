//! Tests of what somebody without the key can do where lines may be missing, and of what honest devices leave there.

use super::*;

#[test]
fn a_start_whose_first_line_did_not_arrive_goes_on_after_the_end() {
    let mut lines = record();
    let mut after = chain(Head { number: 10, hash: Hash::of(&lines[9]) }, false);
    after.note(began(Found::Whole), Timestamp(1));
    lines.push(noted(&mut after, Note::Gap { missed: 0, torn_bytes: 0 }));
    lines.extend([linked(&mut after, 9), noted(&mut after, Note::Checkpoint)]);
    let report = verified(&lines);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(kinds(&report, false), [(Kind::Gap, 11)]);
    // Without a word of lines that were lost there is nothing that could have begun.
    let mut lines = record();
    let mut after = chain(Head { number: 10, hash: Hash::of(&lines[9]) }, false);
    lines.extend([noted(&mut after, Note::Checkpoint), linked(&mut after, 9)]);
    assert_eq!(kinds(&verified(&lines), true), [(Kind::Added, 12)]);
}

#[test]
fn a_line_that_was_named_with_its_hash_is_there() {
    let mut real = chain(Head::default(), false);
    let mut lines = vec![noted(&mut real, began(Found::Nothing))];
    let mut lost = String::new();
    real.link("{\"type\":\"request\"}", &mut lost);
    lines.push(noted(&mut real, Note::Gap { missed: 0, torn_bytes: 0 }));
    let named = format!("2:{}", Hash::of(&lost).text());
    assert!(verified(&lines).is_sound());
    let report = verified_as_it_reaches(&lines, &named);
    assert_eq!(kinds(&report, true), [(Kind::Removed, 2)]);
    let mut verifier = verifier();
    verifier.follows(&named).unwrap();
    for line in &lines {
        verifier.line(line.as_bytes());
    }
    assert_eq!(kinds(&verifier.finish(), true), [(Kind::Removed, 2)]);
    lines.insert(1, lost);
    assert!(verified_as_it_reaches(&lines, &named).is_sound());
}

#[test]
fn a_signature_is_written_in_one_way() {
    let mut lines = record();
    let (before, signature) = lines[9].rsplit_once("signature").unwrap();
    let upper = signature.to_ascii_uppercase();
    lines[9] = format!("{before}signature{upper}");
    assert_ne!(lines[9], record()[9]);
    assert_eq!(kinds(&verified(&lines), true), [(Kind::Forged, 10)]);
}
