//! Tests of what somebody without the key can do where lines may be missing, and of what honest devices leave there.

use super::*;

/// Lines that are linked to each other and to the one before them, by somebody who has no key.
fn written(from: u64, count: u64, mut previous: Hash) -> Vec<String> {
    let mut line = |number| {
        let text = previous.text();
        let line = format!(
            r#"{{"type":"request","chain":{{"key":1,"number":{number},"previous":"{text}"}}}}"#
        );
        previous = Hash::of(&line);
        line
    };
    (from..).zip(0..count).map(|(number, _)| line(number)).collect()
}

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
fn pieces_before_one_signed_line_are_no_more_together_than_one_may_be() {
    let lines = record();
    let most = 2 * crate::audit::chain::UNSIGNED_MAX;
    for (second, is_sound) in [(most - 5, true), (most - 4, false)] {
        let mut all = lines[..9].to_vec();
        let mut process = chain(Head { number: 9, hash: Hash::of(&lines[8]) }, false);
        all.push(noted(&mut process, Note::Checkpoint));
        let kept = Head { number: 10, hash: Hash::of(&all[9]) };
        let mut after = chain(kept, true);
        all.extend(written(11, 5, kept.hash));
        all.extend(written(50_000, second, Hash::default()));
        all.extend([noted(&mut after, began(Found::Unseen)), linked(&mut after, 9)]);
        let report = verified(&all);
        assert_eq!(report.is_sound(), is_sound, "{:?}", report.findings);
        assert_eq!(report.unsigned, 5 + second + 1);
    }
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

#[test]
fn lines_before_those_that_a_device_lost_are_the_ones_that_the_next_signed_line_names() {
    let mut real = chain(Head::default(), false);
    let mut lines = vec![noted(&mut real, began(Found::Nothing))];
    lines.extend((0..8).map(|id| linked(&mut real, id)));
    let arrived = real.head();
    let lost = [(); 2].map(|()| {
        let mut line = String::new();
        real.link("{\"type\":\"request\"}", &mut line);
        line
    });
    let gap = noted(&mut real, Note::Gap { missed: 0, torn_bytes: 0 });
    let goes_on = [gap, noted(&mut real, Note::Ended)];
    // All that is there is proven, but for a lost one that did arrive.
    for count in 0..2 {
        let report = verified(&[&lines[..], &lost[..count], &goes_on].concat());
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.unsigned, u64::try_from(count).unwrap());
    }
    // What somebody else wrote there is a fault, be it the last line or any before it.
    for from in 2..=9 {
        let kept = &lines[..usize::try_from(from).unwrap() - 1];
        let other = written(from, 10 - from, Hash::of(kept.last().unwrap()));
        let report = verified(&[kept, &other, &goes_on].concat());
        assert_eq!(kinds(&report, true), [(Kind::Changed, 10)], "{from} {report:?}");
        let mut one = lines.clone();
        one[usize::try_from(from).unwrap() - 1].push(' ');
        assert!(!verified(&[&one[..], &goes_on].concat()).is_sound(), "{from}");
    }
    // One that begins names what it finds only if the process before has signed it.
    for (unseen, after) in [(false, None), (true, Some(arrived.hash))] {
        let mut next = chain(arrived, unseen);
        next.note(began(Found::Whole), Timestamp(1));
        let line = noted(&mut next, Note::Gap { missed: 0, torn_bytes: 0 });
        let said: super::Linked = serde_json::from_str(&line).unwrap();
        assert_eq!(said.note.unwrap().lost.unwrap().after, after);
    }
}

#[test]
fn the_last_piece_of_a_file_that_was_moved_away_need_not_be_told_with_others() {
    for (pieces, is_torn, is_sound) in
        [(&["{\"a"][..], true, true), (&["{\"a", "{\"b"], true, false), (&["{\"a"], false, false)]
    {
        let mut before = chain(Head::default(), false);
        let first = noted(&mut before, began(Found::Nothing));
        let mut after = chain(before.head(), true);
        let started = Note::Began { found: Found::Nothing, torn_bytes: 8 };
        let started = noted(&mut after, started);
        let mut verifier = verifier();
        verifier.file("audit.1");
        verifier.line(first.as_bytes());
        for piece in pieces {
            verifier.line(piece.as_bytes());
        }
        if is_torn {
            verifier.ends_torn();
        }
        verifier.file("audit");
        for line in ["{\"torn\"", "{", started.as_str()] {
            verifier.line(line.as_bytes());
        }
        let report = verifier.finish();
        assert_eq!(report.is_sound(), is_sound, "{pieces:?} {is_torn} {report:?}");
    }
}
