//! Tests of what is found in a record, whatever was done to it.

#[path = "tests/attacks.rs"]
mod attacks;
#[path = "tests/starts.rs"]
mod starts;

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
    Chain::new(
        "main".into(),
        InstallationId::from_bytes([1; 16]),
        keys().chain(),
        head,
        u64::from(unseen),
    )
}

fn linked(chain: &mut Chain, id: usize) -> String {
    let mut line = String::new();
    chain.link(&format!(r#"{{"type":"request","request":{{"id":"{id}"}}}}"#), &mut line);
    chain.arrived(chain.head());
    line
}

fn noted(chain: &mut Chain, note: Note) -> String {
    let line = chain.note(note, Timestamp(1));
    chain.arrived(chain.head());
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
    verifier.finish()
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

/// A record of which the first lines are kept, and the others written by somebody who has no key: each a second after
/// the one before, or this many.
fn forged(kept: usize, count: usize, seconds: usize) -> Vec<String> {
    let mut lines = record()[..kept].to_vec();
    for number in (1..=count).skip(kept) {
        let previous = lines.last().map_or(Hash::default(), |line| Hash::of(line)).text();
        let time =
            Timestamp(u64::try_from(number.saturating_mul(seconds).saturating_mul(1000)).unwrap())
                .rfc3339();
        lines.push(format!(
            r#"{{"time":"{time}","type":"request","chain":{{"key":1,"number":{number},"previous":"{previous}"}}}}"#
        ));
    }
    lines
}

fn verified_as_it_reaches(lines: &[String], end: &str) -> Report {
    let mut verifier = verifier();
    verifier.reaches(end).unwrap();
    for line in lines {
        verifier.line(line.as_bytes());
    }
    verifier.finish()
}

#[test]
fn nobody_can_write_a_record_without_the_key() {
    let all = verified(&forged(0, 9, 1));
    assert_eq!(kinds(&all, true), [(Kind::Unsigned, 9)]);
    assert_eq!((all.signed_to, all.proven_to, all.unsigned), (0, None, 9));
    for kept in [1, 6] {
        let lines = forged(kept, 9, 1);
        let number = u64::try_from(kept).unwrap();
        let proven = Head { number, hash: Hash::of(&lines[kept - 1]) };
        let rest = verified(&lines);
        assert_eq!((rest.signed_to, rest.proven_to), (proven.number, Some(proven)));
        assert_eq!((rest.faults, rest.unsigned), (0, 9 - proven.number));
        assert_eq!(kinds(&rest, false), [(Kind::Partial, 9)]);
        // It is there, and could be anybody's.
        let as_far = verified_as_it_reaches(&lines, "9");
        assert_eq!(kinds(&as_far, true), [(Kind::Unsigned, 9)]);
        assert!(verified_as_it_reaches(&lines, &proven.number.to_string()).is_sound());
        let real = format!("9:{}", Hash::of(&record()[8]).text());
        assert!(!verified_as_it_reaches(&lines, &real).is_sound());
    }
    // The key of another is not the device's.
    let chance = Counting::default();
    drop(DeviceKeys::draw(&chance, Timestamp(0)));
    let key = DeviceKeys::draw(&chance, Timestamp(0)).chain();
    let mut lines = record()[..6].to_vec();
    let head = Head { number: 6, hash: Hash::of(&lines[5]) };
    let installation = InstallationId::from_bytes([1; 16]);
    let mut chain = Chain::new("main".into(), installation, key, head, 0);
    lines.extend((4..7).map(|id| linked(&mut chain, id)));
    lines.push(noted(&mut chain, Note::Ended));
    assert_eq!(kinds(&verified(&lines), true), [(Kind::Forged, 10)]);
}

#[test]
fn a_line_that_is_not_signed_is_proven_by_its_hash_and_by_nothing_less() {
    let lines = record();
    let hash = Hash::of(&lines[7]).text();
    assert_eq!(kinds(&verified_as_it_reaches(&lines[..8], "8"), true), [(Kind::Unsigned, 8)]);
    let report = verified_as_it_reaches(&lines[..8], &format!("8:{hash}"));
    assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
    assert_eq!((report.signed_to, report.proven_to.unwrap().number, report.unsigned), (6, 8, 0));
    // What follows a line that was checked is of the last second, if that line is known by its hash.
    for (after, faults) in [(format!("6:{}", Hash::of(&lines[5]).text()), 0), ("6".into(), 1)] {
        let mut verifier = verifier();
        verifier.follows(&after).unwrap();
        for line in &lines[6..9] {
            verifier.line(line.as_bytes());
        }
        let report = verifier.finish();
        assert_eq!((report.faults, report.unsigned), (faults, 3), "{after} {report:?}");
    }
}

#[test]
fn more_than_a_server_writes_before_it_signs_is_a_fault() {
    let within = forged(6, 66, 1);
    assert_eq!(kinds(&verified(&within), true), []);
    assert_eq!(kinds(&verified(&forged(6, 67 + 6, 1)), true), [(Kind::Unsigned, 73)]);
    assert_eq!(kinds(&verified(&forged(6, 8, 61)), true), [(Kind::Unsigned, 8)]);
    let most = usize::try_from(2 * crate::audit::chain::UNSIGNED_MAX).unwrap() + 6;
    assert_eq!(kinds(&verified(&forged(6, most, 0)), true), []);
    let more = u64::try_from(most).unwrap() + 1;
    assert_eq!(kinds(&verified(&forged(6, most + 1, 0)), true), [(Kind::Unsigned, more)]);
}

#[test]
fn lines_before_missing_ones_are_not_signed_by_what_comes_after() {
    let mut real = chain(Head::default(), false);
    let began = noted(&mut real, began(Found::Nothing));
    for _ in 2..=90 {
        real.link("{\"type\":\"request\"}", &mut String::new());
    }
    // A server that has found the lines there does not name the last one of them.
    for is_named in [false, true] {
        let mut real = chain(Head { number: 89, ..real.head() }, false);
        real.link("{\"type\":\"request\"}", &mut String::new());
        if is_named {
            real.arrived(real.head());
        } else {
            real = chain(real.head(), false);
        }
        for _ in 91..=100 {
            real.link("{\"type\":\"request\"}", &mut String::new());
        }
        let gap = noted(&mut real, Note::Gap { missed: 0, torn_bytes: 0 });
        let ended = noted(&mut real, Note::Ended);
        for kept in [0, 1] {
            let mut lines = forged(0, 90, 0);
            if kept == 1 {
                lines = vec![began.clone()];
                for number in 2..=90 {
                    let previous = Hash::of(lines.last().unwrap()).text();
                    lines.push(format!(
                        r#"{{"chain":{{"number":{number},"previous":"{previous}"}}}}"#
                    ));
                }
            }
            lines.extend([gap.clone(), ended.clone()]);
            let report = verified(&lines);
            assert_eq!(report.unsigned, 90 - kept, "{report:?}");
            let told = if kept == 0 { Kind::Unsigned } else { Kind::Partial };
            assert!(kinds(&report, kept == 0).contains(&(told, 91)), "{report:?}");
            assert_eq!(report.is_sound(), kept == 1 && !is_named);
            assert_eq!(kinds(&report, true).contains(&(Kind::Changed, 91)), is_named);
        }
    }
    // A lost line that did arrive is the one that the next one names.
    let mut lines = record();
    lines.truncate(9);
    let mut other = chain(Head { number: 8, hash: Hash::of(&lines[7]) }, false);
    other.link("{\"type\":\"request\"}", &mut String::new());
    lines.push(noted(&mut other, Note::Gap { missed: 0, torn_bytes: 0 }));
    assert_eq!(kinds(&verified(&lines), true), [(Kind::Changed, 10)]);
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
        kinds(&verifier.finish(), true)
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
        let mut notices: Vec<_> = kinds(&report, false).into_iter().map(|(kind, _)| kind).collect();
        let places = [arrived.first() != lost.first(), arrived.last() != lost.last()];
        // Before each place where some are missing, and at the end, nothing is signed; but the line before all that were
        // lost is named.
        let unsigned =
            if arrived.is_empty() { 0 } else { places.into_iter().filter(|at| *at).count() };
        notices.retain(|kind| *kind != Kind::Partial);
        assert_eq!(notices, [Kind::Gap, Kind::Gap, Kind::Torn]);
        assert_eq!(kinds(&report, false).len() - 3, unsigned + 1, "{report:?}");
    }
    let report = verified(&[&lines[..3], &[gap.clone(), after.clone()]].concat());
    assert_eq!(kinds(&report, true), [(Kind::Removed, 4)]);
    // More was cut off than the server knows of.
    let strange = ["{\"type".to_owned(), gap, after];
    let report = verified(&[&lines[..], &strange].concat());
    assert_eq!(kinds(&report, true), [(Kind::Added, 5)]);
}

#[test]
fn whatever_the_reason_of_a_signed_line_the_lines_that_it_says_were_lost_are_told() {
    for note in [Note::Checkpoint, Note::Ended, began(Found::Whole)] {
        let mut chain = chain(Head::default(), false);
        let mut lines = vec![noted(&mut chain, began(Found::Nothing))];
        for _ in 0..3 {
            chain.link("{\"type\":\"request\"}", &mut String::new());
        }
        lines.push(noted(&mut chain, note.clone()));
        let report = verified(&lines);
        assert_eq!(kinds(&report, false), [(Kind::Gap, 2)], "{note:?}");
        assert!(report.is_sound(), "{report:?}");
        assert!(report.findings[0].message.starts_with("lines 2 to 4 may not have arrived"));
    }
}

#[test]
fn an_empty_line_is_a_fault_but_at_the_end_of_a_file() {
    let lines = record();
    let with = |places: &[usize]| {
        let mut verifier = verifier();
        for (file, lines) in [("one", &lines[..5]), ("two", &lines[5..])] {
            verifier.file(file);
            for (at, line) in lines.iter().enumerate() {
                if file == "one" && places.contains(&at) {
                    verifier.line(b"");
                }
                verifier.line(line.as_bytes());
            }
            verifier.line(b"");
        }
        kinds(&verifier.finish(), true)
    };
    assert_eq!(with(&[]), []);
    assert_eq!(with(&[0]), [(Kind::Added, 1)]);
    assert_eq!(with(&[1, 4]), [(Kind::Added, 2), (Kind::Added, 6)]);
}

#[test]
fn a_last_line_that_is_not_whole_is_a_notice() {
    let mut verifier = verifier();
    for line in record() {
        verifier.line(line.as_bytes());
    }
    verifier.line(b"{\"type\":\"requ");
    verifier.ends_torn();
    let report = verifier.finish();
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
    verifier.finish()
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
fn a_record_that_ends_before_the_line_that_was_checked_last_was_cut() {
    let lines = record();
    for after in ["10".to_owned(), format!("10:{}", Hash::of(&lines[9]).text())] {
        for (count, faults) in [(10, 0), (6, 1)] {
            let mut verifier = verifier();
            verifier.follows(&after).unwrap();
            for line in &lines[..count] {
                verifier.line(line.as_bytes());
            }
            let report = verifier.finish();
            assert_eq!(report.faults, faults, "{after} {count} {report:?}");
            assert!(report.findings.iter().all(|it| it.kind == Kind::Cut), "{report:?}");
        }
    }
    // Nothing is proven by what is before the first line.
    let mut verifier = verifier();
    verifier.follows(&format!("0:{}", "0".repeat(64))).unwrap();
    for line in &forged(0, 9, 1) {
        verifier.line(line.as_bytes());
    }
    let report = verifier.finish();
    assert_eq!((kinds(&report, true), report.proven_to), (vec![(Kind::Unsigned, 9)], None));
}

#[test]
fn where_no_line_is_of_a_chain_nothing_is_sound() {
    assert_eq!(kinds(&verified(&[]), true), [(Kind::Headless, 0)]);
    let unchained = vec![r#"{"type":"request"}"#.to_owned()];
    assert_eq!(kinds(&verified(&unchained), true), [(Kind::Headless, 1)]);
}
