//! Tests of chains, and of what their ends tell.

use super::*;
use crate::audit::DeviceKeys;
use crate::chance::testing::Counting;

fn key(seed: u64) -> ChainKey {
    let chance = Counting::default();
    let keys = (0..=seed).map(|_| DeviceKeys::draw(&chance, Timestamp(0)));
    keys.last().unwrap().chain()
}

fn chain(seed: u64, head: Head) -> Chain {
    Chain::new("main".into(), InstallationId::from_bytes([1; 16]), key(seed), head, 0)
}

fn linked(chain: &mut Chain, line: &str) -> String {
    let mut text = "before\n".to_owned();
    chain.link(line, &mut text);
    text.split_off("before\n".len())
}

/// A record of notes and lines; `n` stands for a note.
fn record(chain: &mut Chain, lines: &str) -> Vec<String> {
    let line = |what| match what {
        'n' => chain.note(Note::Checkpoint, Timestamp(1)),
        what => {
            let line = format!(r#"{{"type":"request","request":{{"id":"{what}"}}}}"#);
            linked(chain, &line)
        }
    };
    lines.chars().map(line).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn head(lines: &[String], number: usize) -> Head {
    let line = &lines[number.checked_sub(1).unwrap()];
    Head { number: u64::try_from(number).unwrap(), hash: Hash::of(line) }
}

#[test]
fn what_is_about_the_chain_stands_at_the_end_of_a_line() {
    let mut chain = chain(0, Head::default());
    let line = linked(&mut chain, r#"{"type":"request","a":1}"#);
    let zeros = "0".repeat(64);
    let expected = format!(
        r#"{{"type":"request","a":1,"chain":{{"key":1,"number":1,"previous":"{zeros}"}}}}"#
    );
    assert_eq!(line, expected);
    let second = linked(&mut chain, "{\"b\":2}");
    assert!(second.contains(&format!(r#""number":2,"previous":"{}""#, Hash::of(&line).text())));
}

#[test]
fn an_end_is_told_from_one_that_was_cut_off_or_exchanged() {
    let mut ours = chain(0, Head::default());
    let lines = record(&mut ours, "naanbb");
    let seen = |end: &str, kept| look(end.as_bytes(), false, kept, &key(0)).unwrap();
    let found = |end: &str, kept| seen(end, kept).found;
    let all = text(&lines);
    // As it was left, and with more than was kept.
    for kept in 1..=6 {
        let kept = head(&lines, kept);
        assert_eq!(
            seen(&all, kept),
            Seen { head: ours.head(), found: Found::Whole, torn_bytes: 0 }
        );
    }
    // Nothing was kept before the process died.
    assert_eq!(found(&all, Head::default()), Found::Whole);
    // Cut off, with and without a piece of the line that follows.
    let cut = text(&lines[..4]);
    let kept = head(&lines, 6);
    assert_eq!(found(&cut, kept), Found::Cut { from: 5, to: 6 });
    let torn = seen(&format!("{cut}{}", lines[4].get(..20).unwrap()), kept);
    assert_eq!(torn, Seen { head: kept, found: Found::Cut { from: 5, to: 6 }, torn_bytes: 20 });
    assert_eq!(found("", kept), Found::Nothing);
    assert_eq!(found("{\"type\":\"request\"}\n", kept), Found::Unchained);
    // Moved away, all but what was written since.
    assert_eq!(found(&text(&lines[4..]), head(&lines, 4)), Found::Whole);
    // Another device's, shorter and longer than ours, and ours with a line that was altered.
    let mut others = chain(1, Head::default());
    let theirs = record(&mut others, "naanbbbbb");
    assert_eq!(found(&text(&theirs[..4]), kept), Found::Other);
    assert_eq!(found(&text(&theirs), kept), Found::Other);
    assert_eq!(found(&text(&theirs), Head::default()), Found::Other);
    for (altered, kept) in [(5, kept), (4, head(&lines, 4))] {
        let mut lines = lines.clone();
        lines[altered] = lines[altered].replace("\"b\"", "\"c\"");
        assert_eq!(found(&text(&lines), kept), Found::Other, "{altered}");
    }
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    assert_eq!(found(&text(&swapped), head(&lines, 4)), Found::Other);
}

#[test]
fn the_end_is_read_no_further_back_than_needed() {
    let mut chain = chain(0, Head::default());
    let lines = record(&mut chain, "nabcdefgh");
    let kept = head(&lines, 7);
    let all = text(&lines);
    let short = text(&lines[7..]);
    assert_eq!(look(short.as_bytes(), true, kept, &key(0)), None);
    // The first line of a piece is not whole.
    let from = text(&lines[..6]).len() - 5;
    let seen = look(&all.as_bytes()[from..], true, kept, &key(0)).unwrap();
    assert_eq!((seen.found, seen.head.number), (Found::Whole, 9));
}

#[test]
fn a_signed_line_tells_which_lines_may_not_have_arrived() {
    let mut chain = chain(0, Head::default());
    let lines = record(&mut chain, "ab");
    assert!(chain.has_lost() && chain.unsigned() == 2 && lines.len() == 2);
    chain.arrived(head(&lines, 1));
    let note = chain.note(Note::Gap { missed: 3, torn_bytes: 0 }, Timestamp(0));
    let read: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(
        read["note"]["lost"],
        serde_json::json!({ "from": 2, "to": 2, "after": Hash::of(&lines[0]) })
    );
    assert_eq!((&read["note"]["reason"], &read["note"]["missed"]), (&"gap".into(), &3.into()));
    assert!(tail::is_signed(&note, key(0).public_bytes()));
    assert!(!tail::is_signed(&note, key(1).public_bytes()));
    assert!(!tail::is_signed(&note.replace("\"missed\":3", "\"missed\":0"), key(0).public_bytes()));
}

#[test]
fn what_nobody_can_see_is_passed_over() {
    let kept = Head { number: 7, ..Head::default() };
    let installation = InstallationId::from_bytes([1; 16]);
    let mut chain = Chain::new("main".into(), installation, key(0), kept, 1);
    let note = chain.note(Note::Began { found: Found::Unseen, torn_bytes: 0 }, Timestamp(0));
    let read: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(
        read["note"]["lost"],
        serde_json::json!({ "from": 8, "to": 7 + UNSEEN_MAX, "after": kept.hash })
    );
    assert_eq!(read["chain"]["number"], 8 + UNSEEN_MAX);
}

/// The same, of which every line arrives.
fn arrived(chain: &mut Chain, lines: &str) -> Vec<String> {
    let each = lines.chars().flat_map(|what| {
        let line = record(chain, &what.to_string());
        chain.arrived(chain.head());
        line
    });
    each.collect()
}

#[test]
fn what_was_written_since_a_record_was_kept_may_begin_anew_within_it() {
    let begin = |end: &[String], kept| {
        let seen = look(text(end).as_bytes(), false, kept, &key(0)).unwrap();
        (seen.found, seen.head.number)
    };
    let mut ours = chain(0, Head::default());
    let lines = arrived(&mut ours, "naanbn");
    let kept = head(&lines, 1);
    // Moved away before that was kept: each file begins with a signed line.
    assert_eq!(begin(&lines[3..], kept), (Found::Whole, 6));
    assert_eq!(begin(&lines[4..], kept), (Found::Other, 1));
    let mut others = chain(1, ours.head());
    assert_eq!(begin(&arrived(&mut others, "nb"), kept), (Found::Other, 1));
    // It is not read back to where that was kept.
    let end = text(&lines);
    let within =
        |key| look(&end.as_bytes()[lines[0].len() + 20..], false, kept, key).unwrap().found;
    assert_eq!((within(&key(0)), within(&key(1))), (Found::Whole, Found::Other));
    // Lines were lost since, and the next signed one says so; so says one by which another process has begun.
    let mut begins = chain(0, ours.head());
    let started = Note::Began { found: Found::Nothing, torn_bytes: 0 };
    let passes = chain(0, Head { number: 1000, ..kept }).note(started, Timestamp(1));
    linked(&mut begins, "{}");
    let gap = begins.note(Note::Gap { missed: 0, torn_bytes: 0 }, Timestamp(1));
    for told in [gap, passes] {
        let number = if told.contains("gap") { 8 } else { 1001 };
        let mut goes_on = chain(0, Head { number, hash: Hash::of(&told) });
        let mut all = [&lines[..], &[told]].concat();
        all.extend(arrived(&mut goes_on, "an"));
        assert_eq!(begin(&all, kept), (Found::Whole, number + 2));
        // Not if somebody has altered what followed, or the line itself.
        for at in [6, 7] {
            let mut all = all.clone();
            all[at] = all[at].replace("\"type\":", "\"type\": ");
            assert_eq!(begin(&all, kept), (Found::Other, 1));
        }
    }
}

#[test]
fn a_line_that_lacks_only_its_newline_is_whole_and_pieces_are_counted_together() {
    let mut chain = chain(0, Head::default());
    let lines = arrived(&mut chain, "naan");
    let seen = |end: &str| look(end.as_bytes(), false, head(&lines, 1), &key(0)).unwrap();
    let all = text(&lines);
    let whole = Seen { head: chain.head(), found: Found::Whole, torn_bytes: 0 };
    assert_eq!(seen(all.trim_end()), whole);
    for pieces in ["{\"ti", "{\"ti\n", "{\"t\n{\"", "{\"t\n{\"\n"] {
        let torn_bytes = u64::try_from(pieces.replace('\n', "").len()).unwrap();
        assert_eq!(seen(&format!("{all}{pieces}")), Seen { torn_bytes, ..whole }, "{pieces}");
    }
    // Those before a whole line are told of by that process.
    assert_eq!(seen(&format!("{}{{\"t\n{}\n", text(&lines[..3]), lines[3])), whole);
}
