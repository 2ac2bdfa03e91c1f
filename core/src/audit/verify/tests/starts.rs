//! Tests of what a process that begins tells of the record before it.

use super::*;

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
fn what_a_server_had_left_before_it_died_cannot_be_written_anew() {
    let lines = record();
    let kept = Head { number: 10, hash: Hash::of(&lines[9]) };
    for found in [Found::Nothing, Found::Cut { from: 7, to: 10 }] {
        let mut after = chain(kept, true);
        let goes_on = [noted(&mut after, began(found)), linked(&mut after, 9)];
        assert!(verified(&[&lines[..], &goes_on].concat()).is_sound());
        // Those behind the last signed line that is left, by somebody who has no key.
        for kept in [1, 6] {
            let report = verified(&[&forged(kept, 10, 1)[..], &goes_on].concat());
            assert_eq!(kinds(&report, true), [(Kind::Changed, 11)], "{found:?} {kept}");
        }
        let mut other = chain(Head { number: 9, hash: Hash::of(&lines[8]) }, false);
        let again = [noted(&mut other, Note::Checkpoint)];
        let report = verified(&[&lines[..9], &again, &goes_on].concat());
        assert_eq!(kinds(&report, true), [(Kind::Changed, 11)], "{found:?}");
        let cut = verified(&[&lines[..6], &goes_on].concat());
        let told = if found == Found::Nothing { Kind::Removed } else { Kind::Cut };
        assert_eq!(kinds(&cut, true), [(told, 7)]);
    }
}

#[test]
fn lines_before_the_chain_are_honest_only_where_there_was_none() {
    let before = [r#"{"type":"request"}"#.to_owned(), r#"{"type":"response"}"#.to_owned()];
    for (found, is_honest) in
        [(Found::Nothing, false), (Found::Unchained, true), (Found::Unseen, true)]
    {
        let mut real = chain(Head::default(), false);
        let real = [noted(&mut real, began(found)), linked(&mut real, 1)];
        let report = verified(&[&before[..], &real].concat());
        let told = if is_honest { Kind::Partial } else { Kind::Added };
        assert_eq!(report.is_sound(), is_honest, "{found:?}");
        assert!(kinds(&report, !is_honest).contains(&(told, 2)), "{report:?}");
    }
    // A file of its own, which was moved away before there was a chain.
    let mut verifier = verifier();
    verifier.file("older");
    verifier.line(before[0].as_bytes());
    verifier.file("audit");
    for line in &record() {
        verifier.line(line.as_bytes());
    }
    let report = verifier.finish();
    assert_eq!((report.faults, kinds(&report, false)), (0, vec![(Kind::Partial, 1)]));
    // Where the chain began before, there is nothing of the kind.
    let mut verifier = self::verifier();
    verifier.follows("5").unwrap();
    verifier.line(before[0].as_bytes());
    for line in &record()[5..] {
        verifier.line(line.as_bytes());
    }
    assert_eq!(kinds(&verifier.finish(), true), [(Kind::Added, 1)]);
}

#[test]
fn a_file_that_ends_within_a_line_may_be_moved_away_before_the_server_starts() {
    let lines = record();
    let mut after = chain(Head { number: 10, hash: Hash::of(&lines[9]) }, true);
    let goes_on = [noted(&mut after, began(Found::Nothing)), linked(&mut after, 9)];
    for (is_torn, kind) in [(true, Kind::Torn), (false, Kind::Added)] {
        let mut verifier = verifier();
        verifier.file("audit.1");
        for line in &lines {
            verifier.line(line.as_bytes());
        }
        verifier.line(b"{\"type\":\"requ");
        if is_torn {
            verifier.ends_torn();
        }
        verifier.file("audit");
        for line in &goes_on {
            verifier.line(line.as_bytes());
        }
        let report = verifier.finish();
        assert_eq!(report.is_sound(), is_torn, "{report:?}");
        assert!(kinds(&report, !is_torn).contains(&(kind, 11)), "{report:?}");
    }
}

#[test]
fn lines_that_a_process_found_when_it_began_are_not_signed_by_that() {
    // By whom, when the server was stopped, is known: not by it.
    let mut stopped = forged(10, 11, 1);
    let mut after = chain(Head { number: 11, hash: Hash::of(&stopped[10]) }, false);
    stopped.extend([noted(&mut after, began(Found::Whole)), linked(&mut after, 9)]);
    stopped.push(noted(&mut after, Note::Ended));
    assert_eq!(kinds(&verified(&stopped), true), [(Kind::Added, 11)]);
    // Where it died, so much as is written in a second can be its own.
    for (count, is_sound) in [(66, true), (67 + 6, false)] {
        let mut died = forged(6, count, 1);
        let number = u64::try_from(count).unwrap();
        let head = Head { number, hash: Hash::of(&died[count - 1]) };
        let mut after = chain(head, false);
        died.extend([noted(&mut after, began(Found::Whole)), linked(&mut after, 9)]);
        died.push(noted(&mut after, Note::Ended));
        let report = verified(&died);
        assert_eq!((report.is_sound(), report.unsigned), (is_sound, number - 6), "{report:?}");
        let told = if is_sound { Kind::Partial } else { Kind::Unsigned };
        assert_eq!(kinds(&report, !is_sound), [(told, number + 1)]);
    }
}

#[test]
fn a_record_that_was_moved_away_after_its_end_is_signed_there_as_well() {
    let mut before = chain(Head::default(), false);
    let mut lines = vec![noted(&mut before, began(Found::Nothing)), linked(&mut before, 1)];
    let notes = [Note::Ended, Note::Checkpoint, Note::Checkpoint, began(Found::Whole)];
    lines.extend(notes.map(|note| noted(&mut before, note)));
    lines.extend([linked(&mut before, 2), noted(&mut before, Note::Ended)]);
    let report = verified(&lines);
    assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
}
