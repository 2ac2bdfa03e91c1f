//! Tests of what is found in a record, whatever was done to it.

use super::*;
use crate::audit::DeviceKeys;
use crate::audit::chain::Chain;
use crate::chance::testing::Counting;
use crate::ids::InstallationId;
use crate::time::Timestamp;

fn keys() -> DeviceKeys {
    DeviceKeys::draw(&Counting::default(), Timestamp(0))
}

fn chain(head: Head, unseen: bool) -> Chain {
    Chain::new("main".into(), InstallationId::from_bytes([1; 16]), keys().chain(), head, unseen)
}

fn linked(chain: &mut Chain, id: usize) -> String {
    let mut line = String::new();
    chain.link(&format!(r#"{{"type":"request","request":{{"id":"{id}"}}}}"#), &mut line);
    chain.arrived(chain.head().number);
    line
}

fn noted(chain: &mut Chain, note: Note) -> String {
    let line = chain.note(note, Timestamp(1));
    chain.arrived(chain.head().number);
    line
}

fn began(found: Found) -> Note {
    Note::Began { found, torn_bytes: 0 }
}

/// Ten lines, of which the first, the sixth and the last are signed.
fn record() -> Vec<String> {
    let mut chain = chain(Head::default(), false);
    let mut lines = vec![noted(&mut chain, began(Found::Nothing))];
    lines.extend((0..4).map(|id| linked(&mut chain, id)));
    lines.push(noted(&mut chain, Note::Checkpoint));
    lines.extend((4..7).map(|id| linked(&mut chain, id)));
    lines.push(noted(&mut chain, Note::Ended));
    lines
}

fn verifier() -> Verifier {
    Verifier::new([keys().chain().public().as_str()]).unwrap()
}

fn verified(lines: &[String]) -> Report {
    let mut verifier = verifier();
    verifier.file("audit");
    for line in lines {
        verifier.line(line.as_bytes());
    }
    verifier.finish(false)
}

fn kinds(report: &Report, fault: bool) -> Vec<(Kind, u64)> {
    let findings = report.findings.iter().filter(|finding| finding.fault == fault);
    findings.map(|finding| (finding.kind, finding.place.line)).collect()
}

#[test]
fn a_record_that_nobody_touched_is_sound() {
    let lines = record();
    let report = verified(&lines);
    assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
    let last = Head { number: 10, hash: Hash::of(&lines[9]) };
    assert_eq!((report.lines, report.first, report.last), (10, Some(1), Some(last)));
    assert_eq!(report.signed_to, 10);
}

#[test]
fn a_line_that_is_removed_changed_added_or_moved_is_found() {
    // The last line can be missed only by whoever knows that it was there.
    for at in 0..9 {
        let mut lines = record();
        lines.remove(at);
        let report = verified(&lines);
        if at == 0 {
            assert_eq!(kinds(&report, true), [(Kind::Headless, 1)]);
        } else {
            let place = u64::try_from(at + 1).unwrap();
            assert_eq!(kinds(&report, true), [(Kind::Removed, place)], "{at}");
        }
    }
    for at in 0..10 {
        let mut lines = record();
        lines[at] = lines[at].replace("\"type\":\"", "\"type\":\"x");
        let report = verified(&lines);
        let expected = if at == 9 { Kind::Forged } else { Kind::Changed };
        assert!(kinds(&report, true).iter().any(|(kind, _)| *kind == expected), "{at} {report:?}");
        // A line is added, as it stands there already and as it never was.
        for more in [record()[at].clone(), "{\"type\":\"request\"}".into(), "oops".into()] {
            let mut lines = record();
            lines.insert(at + 1, more);
            assert_eq!(
                kinds(&verified(&lines), true),
                [(Kind::Added, u64::try_from(at + 2).unwrap())],
                "{at}"
            );
        }
    }
    for at in 1..8 {
        let mut lines = record();
        lines.swap(at, at + 1);
        let found = kinds(&verified(&lines), true);
        assert_eq!(found, [(Kind::Moved, u64::try_from(at + 2).unwrap())], "{at}");
    }
}

#[test]
fn nobody_can_write_the_rest_anew_without_the_key() {
    let lines = record();
    let mut forged = lines[..6].to_vec();
    let head = Head { number: 6, hash: Hash::of(&lines[5]) };
    let key = {
        let chance = Counting::default();
        drop(DeviceKeys::draw(&chance, Timestamp(0)));
        DeviceKeys::draw(&chance, Timestamp(0)).chain()
    };
    let installation = InstallationId::from_bytes([1; 16]);
    let mut chain = Chain::new("main".into(), installation, key, head, false);
    forged.extend((4..7).map(|id| linked(&mut chain, id + 100)));
    let unsigned = verified(&forged);
    assert_eq!((unsigned.signed_to, unsigned.faults), (6, 0));
    assert_eq!(kinds(&unsigned, false), [(Kind::Partial, 9)]);
    forged.push(noted(&mut chain, Note::Ended));
    assert_eq!(kinds(&verified(&forged), true), [(Kind::Forged, 10)]);
}

#[test]
fn a_cut_end_is_found_by_where_the_server_has_it() {
    let lines = record();
    let ends = |end: &str, count: usize| {
        let mut verifier = verifier();
        verifier.reaches(end).unwrap();
        for line in &lines[..count] {
            verifier.line(line.as_bytes());
        }
        kinds(&verifier.finish(false), true)
    };
    assert_eq!(ends("10", 10), []);
    assert_eq!(ends("10", 6), [(Kind::Cut, 6)]);
    let hash = Hash::of(&lines[8]).text();
    assert_eq!(ends(&format!("9:{hash}"), 10), []);
    let other = Hash::of(&lines[7]).text();
    assert_eq!(ends(&format!("9:{other}"), 10), [(Kind::Changed, 9)]);
    for end in ["", "x", "9:", "9:00", "-1"] {
        assert_eq!(verifier().reaches(end), Err(BadLine), "{end}");
    }
    assert_eq!(Verifier::new(["00"]).unwrap_err(), BadPublicKey);
    assert_eq!(Verifier::new([]).unwrap_err(), BadPublicKey);
}

#[test]
fn what_the_server_found_at_a_start_is_told_again() {
    let lines = record();
    let kept = Head { number: 10, hash: Hash::of(&lines[9]) };
    let mut after = chain(kept, false);
    let goes_on = [
        noted(&mut after, began(Found::Cut { from: 7, to: 10 })),
        linked(&mut after, 9),
        noted(&mut after, Note::Ended),
    ];
    let cut = verified(&[&lines[..6], &goes_on].concat());
    assert_eq!(kinds(&cut, true), [(Kind::Cut, 7)]);
    // What was moved away is given as well: then nothing is missing.
    assert!(verified(&[&lines[..], &goes_on].concat()).findings.is_empty());
    let mut after = chain(kept, false);
    let note = noted(&mut after, began(Found::Other));
    assert_eq!(kinds(&verified(&[&lines[..], &[note]].concat()), true), [(Kind::Exchanged, 11)]);
}

#[test]
fn lines_that_did_not_arrive_are_told_from_lines_that_were_removed() {
    let mut chain = chain(Head::default(), false);
    let mut lines = vec![noted(&mut chain, began(Found::Nothing))];
    lines.extend((0..3).map(|id| linked(&mut chain, id)));
    let mut lost = || {
        let mut line = String::new();
        chain.link("{\"type\":\"request\"}", &mut line);
        line
    };
    let lost = [lost(), lost(), lost()];
    let gap = noted(&mut chain, Note::Gap { missed: 5, torn_bytes: 4 });
    let after = linked(&mut chain, 9);
    // All of them, or some, or none, have arrived: who asked does not know.
    for arrived in [&lost[..0], &lost[..1], &lost[1..2], &lost[..]] {
        let torn = ["{\"ty".to_owned(), gap.clone(), after.clone()];
        let report = verified(&[&lines[..], arrived, &torn].concat());
        assert!(report.is_sound(), "{report:?}");
        let notices: Vec<_> = kinds(&report, false).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(notices, [Kind::Gap, Kind::Gap, Kind::Torn, Kind::Partial]);
    }
    let report = verified(&[&lines[..3], &[gap.clone(), after.clone()]].concat());
    assert_eq!(kinds(&report, true), [(Kind::Removed, 4)]);
    // More was cut off than the server knows of.
    let strange = ["{\"type".to_owned(), gap, after];
    let report = verified(&[&lines[..], &strange].concat());
    assert_eq!(kinds(&report, true), [(Kind::Added, 5)]);
}

#[test]
fn a_start_that_could_not_see_the_record_passes_over_what_may_be_there() {
    let lines = record();
    let kept = Head { number: 6, hash: Hash::of(&lines[5]) };
    let mut after = chain(kept, true);
    let goes_on = [noted(&mut after, began(Found::Unseen)), linked(&mut after, 9)];
    for there in 6..=10 {
        let report = verified(&[&lines[..there], &goes_on].concat());
        assert!(report.is_sound(), "{there} {report:?}");
    }
    let report = verified(&[&lines[..5], &goes_on].concat());
    assert_eq!(kinds(&report, true), [(Kind::Removed, 6)]);
}

#[test]
fn a_last_line_that_is_not_whole_is_a_notice() {
    let mut verifier = verifier();
    for line in record() {
        verifier.line(line.as_bytes());
    }
    verifier.line(b"{\"type\":\"requ");
    let report = verifier.finish(true);
    assert!(report.is_sound());
    assert_eq!(kinds(&report, false), [(Kind::Torn, 11)]);
}

/// Gives a record from one of its lines on, and says what was checked before it.
fn continued(from: usize, after: &str) -> Report {
    let mut verifier = verifier();
    verifier.file("audit");
    verifier.follows(after).unwrap();
    for line in record().iter().skip(from) {
        verifier.line(line.as_bytes());
    }
    verifier.finish(false)
}

#[test]
fn a_record_without_its_beginning_is_sound_only_behind_the_line_that_was_checked_last() {
    let lines = record();
    for from in 1..10 {
        assert_eq!(kinds(&verified(&lines[from..]), true), [(Kind::Headless, 1)], "{from}");
        let hash = Hash::of(&lines[from - 1]).text();
        assert!(continued(from, &from.to_string()).is_sound(), "{from}");
        assert!(continued(from, &format!("{from}:{hash}")).is_sound(), "{from}");
        // What was checked before may be given again.
        assert!(continued(from - 1, &format!("{from}:{hash}")).is_sound(), "{from}");
        assert!(continued(0, &format!("{from}:{hash}")).is_sound(), "{from}");
        let short = continued(from, &(from - 1).to_string());
        assert_eq!(kinds(&short, true), [(Kind::Headless, 1)], "{from}");
        let other = format!("{from}:{}", "0".repeat(64));
        let begins = continued(from, &other);
        assert_eq!(kinds(&begins, true), [(Kind::Changed, 1)], "{from}");
        assert!(!continued(0, &other).is_sound(), "{from}");
    }
}

#[test]
fn where_no_line_is_of_a_chain_nothing_is_sound() {
    assert_eq!(kinds(&verified(&[]), true), [(Kind::Headless, 0)]);
    let unchained = vec![r#"{"type":"request"}"#.to_owned()];
    assert_eq!(kinds(&verified(&unchained), true), [(Kind::Headless, 1)]);
}
