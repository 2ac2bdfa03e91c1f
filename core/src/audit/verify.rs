//! Checks the record of a device, line by line, with nothing but its public key.
//!
//! Lines are given in the order in which they stand, those of files that were moved away first. What is found is a
//! fault, if somebody must have had a hand in it, or else a notice.
//!
//! **Invariant:** a line is sound only if the chain leads from it to one that is signed by the process that wrote both, or
//! to one whose hash whoever asks has named. Links alone prove nothing: anybody can count and hash, and a process that
//! begins goes on from whatever it finds. Of honest work only so much is not signed as is written in a second.

mod named;
mod report;
mod strange;
mod tail;

pub use named::{BadLine, BadPublicKey};
pub use report::{Finding, Kind, Place, Report};

use super::chain::tail::is_signed;
use super::chain::{Found, Hash, Head, Linked, Lost, Note, Noted};
use super::hex;
use named::named_line;
use std::collections::BTreeMap;
use strange::Strange;
use tail::Tail;

/// Findings that are told one by one; of further ones only how many there are.
const TOLD_MAX: usize = 1000;

/// Checks one record.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<[u8; 32]>,
    /// Where the record must reach, and which line must be there, as far as that is known.
    expected: Option<(u64, Option<Hash>)>,
    /// The line before the record, likewise; none where it is to have its beginning.
    before: Option<(u64, Option<Hash>)>,
    place: Place,
    last: Option<Head>,
    signed_to: u64,
    /// The last line that is signed, or that whoever asks has named with its hash.
    proven: Option<Head>,
    /// What follows it.
    tail: Tail,
    /// The lines that whoever asks has named and that were there.
    met: Vec<u64>,
    /// Whether the last line says that the process has ended.
    ended: bool,
    /// Numbers that were passed over, by the first of each span, with the last and where that was noticed.
    missing: BTreeMap<u64, (u64, Place)>,
    /// An empty line, which is nothing where the file ends with it.
    blank: Option<Place>,
    /// The last line that is of no chain, while there was none that is.
    unchained: Option<Place>,
    /// What is no line of a record.
    strange: Vec<Strange>,
    report: Report,
}

impl Verifier {
    /// Checks by these public keys: one, or those of a device whose keys have changed.
    pub fn new<'a>(public: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPublicKey> {
        let keys: Option<Vec<_>> = public.into_iter().map(|key| hex::bytes(key.trim())).collect();
        Ok(Self {
            keys: keys.filter(|keys| !keys.is_empty()).ok_or(BadPublicKey)?,
            expected: None,
            before: None,
            place: Place::default(),
            last: None,
            signed_to: 0,
            proven: None,
            tail: Tail::default(),
            met: Vec::new(),
            ended: false,
            missing: BTreeMap::new(),
            blank: None,
            unchained: None,
            strange: Vec::new(),
            report: Report::default(),
        })
    }

    /// Says where the record must reach at least, as the server has it.
    pub fn reaches(&mut self, end: &str) -> Result<(), BadLine> {
        self.expected = Some(named_line(end)?);
        Ok(())
    }

    /// Says which line was checked before, so that the record may begin with the next one, or with an earlier.
    pub fn follows(&mut self, last: &str) -> Result<(), BadLine> {
        self.before = Some(named_line(last)?);
        Ok(())
    }

    /// Goes on with another file.
    pub fn file(&mut self, name: &str) {
        self.blank = None;
        self.place = Place { file: name.to_owned(), line: 0 };
    }

    /// Says that the file ends within the line that was given last.
    pub fn ends_torn(&mut self) {
        if let Some(last) = self.strange.last_mut() {
            last.ends_file = last.place == self.place;
        }
    }

    /// Takes the next line, without its newline.
    pub fn line(&mut self, bytes: &[u8]) {
        self.place.line = self.place.line.saturating_add(1);
        if let Some(place) = self.blank.take() {
            self.find(Kind::Added, true, place, "an empty line is no line of the record");
        }
        if bytes.is_empty() {
            self.blank = Some(self.place.clone());
            return;
        }
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let Ok(read) = serde_json::from_str::<Linked>(text) else {
            let (place, ends_file) = (self.place.clone(), false);
            let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return self.strange.push(Strange { place, bytes, ends_file });
        };
        let Some(link) = read.chain else {
            if self.last.is_some() {
                self.fault(Kind::Added, "the line is of no chain");
            } else {
                self.unchained = Some(self.place.clone());
            }
            self.report.lines = self.report.lines.saturating_add(1);
            return;
        };
        self.report.lines = self.report.lines.saturating_add(1);
        let head = Head { number: link.number, hash: Hash::of(text) };
        let noted = self.trusted(text, read.note, read.signature.is_some());
        let is_named = self.is_named(head);
        if let Some(noted) = &noted {
            self.note(noted, head);
        }
        if !self.follow(head, link.previous, noted.as_ref()) {
            return;
        }
        self.between_processes(noted.as_ref());
        self.tail.take(head, &read.time);
        if noted.is_some() || is_named {
            self.proven = Some(head);
            self.tail.clear();
        }
        if noted.is_some() {
            self.signed_to = self.signed_to.max(head.number);
        }
    }

    /// Looks at what stands between two processes: one that begins signs what it finds, whoever has written it.
    fn between_processes(&mut self, noted: Option<&Noted>) {
        match noted.map(|noted| &noted.note) {
            Some(Note::Began { .. }) => {
                self.unproven();
                self.ended = false;
            }
            Some(Note::Ended) => self.ended = true,
            None if self.ended => {
                let message =
                    "the server had ended before this line, and had not begun again: it is not its";
                self.fault(Kind::Added, message);
            }
            // It had begun, and the line that says so is one of those that did not arrive. Otherwise the record was moved
            // away after its end, and signed once more.
            Some(Note::Checkpoint | Note::Gap { .. }) => {
                self.ended &= noted.is_none_or(|noted| noted.lost.is_none());
            }
            None => {}
        }
    }

    /// Returns what a signed line says, if its signature is one of the device.
    fn trusted(&mut self, text: &str, note: Option<Noted>, signed: bool) -> Option<Noted> {
        if note.is_none() && !signed {
            return None;
        }
        let is_ours = self.keys.iter().any(|key| is_signed(text, key));
        if !is_ours {
            self.fault(Kind::Forged, "the signature is not one of this device: another device's record, another public key, or an altered line");
        }
        note.filter(|_| is_ours)
    }

    /// Takes in what a signed line says of others.
    fn note(&mut self, noted: &Noted, head: Head) {
        let first = self.last.map_or(head.number, |last| last.number.saturating_add(1));
        if let Some(lost) = noted.lost {
            self.explain(lost);
            let Lost { from, to, .. } = lost;
            self.notice(
                Kind::Gap,
                &format!("lines {from} to {to} may not have arrived; another device has them"),
            );
        }
        let torn_bytes = match noted.note {
            Note::Gap { missed, torn_bytes } => {
                if missed > 0 {
                    let message = format!(
                        "the device missed {missed} lines before this one; another device has them"
                    );
                    self.notice(Kind::Gap, &message);
                }
                torn_bytes
            }
            Note::Began { found, torn_bytes } => {
                match found {
                    Found::Cut { from, to } if first <= to => {
                        let from = from.max(first);
                        self.fault(Kind::Cut, &format!("lines {from} to {to} were cut off while the server was stopped, or are in a file that was not given"));
                        self.unproven();
                        self.last = Some(Head { number: to, ..Head::default() });
                    }
                    Found::Other => self.fault(Kind::Exchanged, "the server found another record here than the one that it had left, or an altered one"),
                    Found::Nothing | Found::Unchained | Found::Whole | Found::Unseen | Found::Cut { .. } => {}
                }
                torn_bytes
            }
            Note::Checkpoint | Note::Ended => return,
        };
        self.tell_strange(Some(torn_bytes));
    }

    /// Lines that may not have arrived are not missing.
    fn explain(&mut self, lost: Lost) {
        let spans = std::mem::take(&mut self.missing);
        for (from, (to, place)) in spans {
            let before = lost.from.saturating_sub(1);
            if from <= before {
                self.missing.insert(from, (to.min(before), place.clone()));
            }
            let after = lost.to.saturating_add(1);
            if to >= after {
                self.missing.insert(from.max(after), (to, place));
            }
        }
    }

    /// Compares a line with the one before it; tells whether the record goes on with it.
    fn follow(&mut self, head: Head, previous: Hash, noted: Option<&Noted>) -> bool {
        let Some(last) = self.last else {
            self.report.first = Some(head.number);
            self.before_chain(head.number, noted);
            self.begin(head.number, previous, noted.and_then(|noted| noted.lost));
            self.last = Some(head);
            return true;
        };
        let next = last.number.saturating_add(1);
        if head.number < next {
            self.behind(head.number);
            return false;
        }
        if head.number == next {
            // What was cut off has no hash any more.
            let is_known = last.hash != Hash::default();
            if is_known && previous != last.hash {
                let number = last.number;
                self.fault(
                    Kind::Changed,
                    &format!("line {number}, before this one, is not as it was written"),
                );
            }
        } else {
            if let Some(left) = noted.and_then(|noted| noted.left(previous)) {
                self.was_left(left);
            }
            // What stands before the missing lines is linked to them, and to nothing that is here.
            self.unproven();
            let to = head.number.saturating_sub(1);
            self.missing.insert(next, (to, self.place.clone()));
            if let Some(lost) = noted.and_then(|noted| noted.lost) {
                self.explain(lost);
            }
        }
        self.last = Some(head);
        true
    }

    /// Tells of what stands before the first line, which only a device can have written that had no chain yet.
    fn before_chain(&mut self, number: u64, noted: Option<&Noted>) {
        let Some(place) = self.unchained.take() else { return };
        let found = match noted.map(|noted| &noted.note) {
            Some(Note::Began { found, .. }) if number == 1 => Some(*found),
            _ => None,
        };
        // A file of its own may have been moved away before there was a chain.
        let is_elsewhere = place.file != self.place.file;
        match found {
            Some(Found::Unchained | Found::Unseen) => {}
            Some(Found::Nothing) if is_elsewhere => {}
            _ => {
                let message = "the lines before the first of the chain are not the device's";
                return self.find(Kind::Added, true, place, message);
            }
        }
        let message = "the lines before the first of the chain cannot be checked";
        self.find(Kind::Partial, false, place, message);
    }

    /// Looks at the first line: what is not given cannot be seen to be whole.
    fn begin(&mut self, number: u64, previous: Hash, lost: Option<Lost>) {
        let (before, hash) = self.before.unwrap_or_default();
        let next = before.saturating_add(1);
        let is_lost =
            lost.is_some_and(|lost| lost.from <= next && lost.to.saturating_add(1) == number);
        let is_other = hash.is_some_and(|hash| hash != previous);
        if number > next && !is_lost {
            let to = number.saturating_sub(1);
            self.fault(Kind::Headless, &format!("the record begins with line {number}: give the files with the lines {next} to {to} before it, or say which line was checked last"));
        } else if number == 1 && previous != Hash::default() {
            self.fault(Kind::Changed, "the first line names one before it");
        } else if number == next && number > 1 && is_other {
            self.fault(
                Kind::Changed,
                &format!("line {before}, before this one, is not the one that was checked"),
            );
        } else if number == next && number > 1 && hash.is_some() {
            self.proven = Some(Head { number: before, hash: previous });
        }
    }

    /// A line that stands behind later ones.
    fn behind(&mut self, number: u64) {
        let span = self.missing.range(..=number).next_back();
        let span = span.map(|(from, (to, place))| (*from, *to, place.clone()));
        match span.filter(|(_, to, ..)| *to >= number) {
            Some((from, to, place)) => {
                self.missing.remove(&from);
                if from < number {
                    self.missing.insert(from, (number.saturating_sub(1), place.clone()));
                }
                if to > number {
                    self.missing.insert(number.saturating_add(1), (to, place));
                }
                self.fault(Kind::Moved, &format!("line {number} stands behind later ones; give files that were moved away in their order"));
            }
            None => {
                self.fault(Kind::Added, &format!("there is another line {number} before this one"));
            }
        }
    }

    /// Returns what was found once all lines were given.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.tell_strange(None);
        for (from, (to, place)) in std::mem::take(&mut self.missing) {
            let message = if from == to {
                format!("line {from}, before this one, is not there")
            } else {
                format!("lines {from} to {to}, before this one, are not there")
            };
            self.find(Kind::Removed, true, place, &message);
        }
        if self.last.is_none() {
            self.fault(
                Kind::Headless,
                "there is no line of a chain: give the files of the record from its first line on",
            );
        }
        self.unproven();
        self.reached();
        self.report.last = self.last;
        self.report.signed_to = self.signed_to;
        self.report.proven_to = self.proven;
        self.report
    }

    fn fault(&mut self, kind: Kind, message: &str) {
        self.find(kind, true, self.place.clone(), message);
    }

    fn notice(&mut self, kind: Kind, message: &str) {
        self.find(kind, false, self.place.clone(), message);
    }

    fn find(&mut self, kind: Kind, fault: bool, place: Place, message: &str) {
        self.report.faults = self.report.faults.saturating_add(u64::from(fault));
        if self.report.findings.len() < TOLD_MAX {
            self.report.findings.push(Finding { kind, fault, place, message: message.to_owned() });
        }
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
