//! Checks the record of a device, line by line, with nothing but its public key.
//!
//! Lines are given in the order in which they stand, those of files that were moved away first. What is found is a
//! fault, if somebody must have had a hand in it, or else a notice.
//!
//! **Invariant:** a line is sound only if the chain leads from it to one that is signed, or to one whose hash whoever
//! asks has named. Links alone prove nothing: anybody can count and hash. Of honest work only so much is not signed
//! as is written in a second.

mod report;
mod tail;

pub use report::{Finding, Kind, Place, Report};

use super::chain::tail::is_signed;
use super::chain::{Found, Hash, Head, Linked, Lost, Note, Noted};
use super::hex;
use std::collections::BTreeMap;
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
    /// Numbers that were passed over, by the first of each span, with the last and where that was noticed.
    missing: BTreeMap<u64, (u64, Place)>,
    /// An empty line, which is nothing where the file ends with it.
    blank: Option<Place>,
    /// What is no line of a record, and how many bytes it has.
    strange: Vec<(Place, u64)>,
    report: Report,
}

/// The text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a public key has 64 hexadecimal digits; the server logs it when it starts, and `sys/audit` shows it"
)]
pub struct BadPublicKey;

/// The text does not name a line of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is told by its number, or by that and its hash: `1234` or `1234:<64 digits>`")]
pub struct BadLine;

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
            missing: BTreeMap::new(),
            blank: None,
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
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return self.strange.push((self.place.clone(), length));
        };
        let Some(link) = read.chain else {
            if self.last.is_some() {
                self.fault(Kind::Added, "the line is of no chain");
            } else if self.report.lines == 0 {
                self.notice(
                    Kind::Partial,
                    "the lines before the first of the chain cannot be checked",
                );
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
        self.tail.take(head.number, &read.time);
        if noted.is_some() || is_named {
            self.proven = Some(head);
            self.tail = Tail::default();
        }
        if noted.is_some() {
            self.signed_to = self.signed_to.max(head.number);
        }
    }

    /// Tells whether whoever asks has named this line with its hash.
    fn is_named(&mut self, head: Head) -> bool {
        let named = [self.expected, self.before].into_iter().flatten();
        let mut is_named = false;
        for (_, hash) in named.filter(|(number, _)| *number == head.number) {
            if hash.is_some_and(|hash| hash != head.hash) {
                let message = format!("line {} is not the one that it was", head.number);
                self.fault(Kind::Changed, &message);
            }
            is_named |= hash == Some(head.hash);
        }
        is_named
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
            let Lost { from, to } = lost;
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
        let strange = std::mem::take(&mut self.strange);
        let bytes = strange.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        for (place, _) in strange {
            if bytes == torn_bytes {
                self.find(
                    Kind::Torn,
                    false,
                    place,
                    "the line was cut off by a crash or a full disk, as the server said afterwards",
                );
            } else {
                self.find(
                    Kind::Added,
                    true,
                    place,
                    "this is no line of the record, and no crash explains it",
                );
            }
        }
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
            self.begin(head.number, previous);
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

    /// Tells of lines from which nothing leads to one that is proven. So much as is written in a second can be honest
    /// work, if there is a signed line at all.
    fn unproven(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        let Some((first, last)) = tail.span else { return };
        self.report.unsigned = self.report.unsigned.saturating_add(tail.lines);
        let lines = if first == last {
            format!("line {first} is")
        } else {
            format!("lines {first} to {last} are")
        };
        if self.proven.is_none() {
            self.fault(Kind::Unsigned, &format!("{lines} linked, and neither they nor any line before is signed by this device: whoever can write to the record could have written all of it"));
        } else if tail.is_too_long() {
            self.fault(Kind::Unsigned, &format!("{lines} linked, not signed, and more than a server writes before it signs: somebody else has written them, or taken signed lines away"));
        } else {
            self.notice(Kind::Partial, &format!("{lines} linked, not signed: the server is running, or died or missed lines then; or somebody who can write to the record wrote them"));
        }
    }

    /// Looks at the first line: what is not given cannot be seen to be whole.
    fn begin(&mut self, number: u64, previous: Hash) {
        let (before, hash) = self.before.unwrap_or_default();
        let next = before.saturating_add(1);
        let is_other = hash.is_some_and(|hash| hash != previous);
        if number > next {
            let last = number.saturating_sub(1);
            self.fault(Kind::Headless, &format!("the record begins with line {number}: give the files with the lines {next} to {last} before it, or say which line was checked last"));
        } else if number == 1 && previous != Hash::default() {
            self.fault(Kind::Changed, "the first line names one before it");
        } else if number == next && number > 1 && is_other {
            self.fault(
                Kind::Changed,
                &format!("line {before}, before this one, is not the one that was checked"),
            );
        } else if number == next && hash.is_some() {
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

    /// Returns what was found once all lines were given. `torn`: the last one has no newline.
    #[must_use]
    pub fn finish(mut self, torn: bool) -> Report {
        let strange = std::mem::take(&mut self.strange);
        let count = strange.len();
        for (at, (place, _)) in strange.into_iter().enumerate() {
            if torn && at.saturating_add(1) == count && place == self.place {
                self.find(Kind::Torn, false, place, "the last line is not whole: it is being written, the server died, or it was cut off here");
            } else {
                self.find(
                    Kind::Added,
                    true,
                    place,
                    "this is no line of the record, and no crash explains it",
                );
            }
        }
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

    /// Looks whether the record is sound as far as it must reach.
    fn reached(&mut self) {
        let [last, proven] =
            [self.last, self.proven].map(|head| head.map_or(0, |head| head.number));
        match self.expected {
            Some((number, _)) if number > last => self.fault(
                Kind::Cut,
                &format!(
                    "the record ends with line {last}; the server has written up to line {number}"
                ),
            ),
            Some((number, _)) if number > proven => self.fault(
                Kind::Unsigned,
                &format!("the record is signed up to line {proven} only, and line {number} could be anybody's: name it with its hash, `NUMBER:HASH`, as `chain` of `sys/audit` has it"),
            ),
            Some(_) | None => {}
        }
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

/// Reads which line is meant: by its number, or by its hash as well.
fn named_line(text: &str) -> Result<(u64, Option<Hash>), BadLine> {
    let (number, hash) = text.split_once(':').map_or((text, None), |(n, h)| (n, Some(h)));
    let number = number.trim().parse().map_err(|_| BadLine)?;
    let hash = hash.map(|hash| Hash::parse(hash.trim()).ok_or(BadLine)).transpose()?;
    Ok((number, hash))
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
