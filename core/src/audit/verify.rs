//! Checks the record of a device, line by line, with nothing but its public key.
//!
//! Lines are given in the order in which they stand, those of files that were moved away first. What is found is a
//! fault, if somebody must have had a hand in it, or else a notice.

use super::chain::tail::is_signed;
use super::chain::{Found, Hash, Head, Linked, Lost, Note, Noted};
use super::hex;
use serde::Serialize;
use std::collections::BTreeMap;

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
    /// Numbers that were passed over, by the first of each span, with the last and where that was noticed.
    missing: BTreeMap<u64, (u64, Place)>,
    /// What is no line of a record, and how many bytes it has.
    strange: Vec<(Place, u64)>,
    report: Report,
}

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line in it; the first is 1.
    pub line: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lines of the record.
    pub lines: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The last one, which is what to compare with the next time.
    pub last: Option<Head>,
    /// The last one that is signed, or is before one that is. Later ones could be written by anybody.
    pub signed_to: u64,
    /// How many faults there are.
    pub faults: u64,
    /// What was found, in the order in which it was noticed; not all, if it is very much.
    pub findings: Vec<Finding>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Whether somebody must have had a hand in it.
    pub fault: bool,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// In words.
    pub message: String,
}

/// What is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Lines are not there.
    Removed,
    /// A line is not the one that the next one names.
    Changed,
    /// A line stands behind others that were written later.
    Moved,
    /// A line is there twice, or was never written.
    Added,
    /// A signature is not one of the device.
    Forged,
    /// The end was cut off.
    Cut,
    /// The record was exchanged for another while the server was stopped.
    Exchanged,
    /// The device missed lines, and said so.
    Gap,
    /// A line was cut off by a crash or a full disk.
    Torn,
    /// The record begins, or ends, within its chain.
    Partial,
    /// The beginning is not there.
    Headless,
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
            missing: BTreeMap::new(),
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
        self.place = Place { file: name.to_owned(), line: 0 };
    }

    /// Takes the next line, without its newline.
    pub fn line(&mut self, bytes: &[u8]) {
        self.place.line = self.place.line.saturating_add(1);
        if bytes.is_empty() {
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
        for (number, hash) in [self.expected, self.before].into_iter().flatten() {
            if number == head.number && hash.is_some_and(|hash| hash != head.hash) {
                let message = format!("line {number} is not the one that it was");
                self.fault(Kind::Changed, &message);
            }
        }
        if let Some(noted) = &noted {
            self.note(noted, head);
        }
        self.follow(head, link.previous, noted.as_ref());
        if noted.is_some() {
            self.signed_to = self.signed_to.max(head.number);
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
        }
        let torn_bytes = match noted.note {
            Note::Gap { missed, torn_bytes } => {
                self.gap(missed, noted.lost);
                torn_bytes
            }
            Note::Began { found, torn_bytes } => {
                match found {
                    Found::Cut { from, to } if first <= to => {
                        let from = from.max(first);
                        self.fault(Kind::Cut, &format!("lines {from} to {to} were cut off while the server was stopped, or are in a file that was not given"));
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

    fn gap(&mut self, missed: u64, lost: Option<Lost>) {
        if missed > 0 {
            self.notice(
                Kind::Gap,
                &format!(
                    "the device missed {missed} lines before this one; another device has them"
                ),
            );
        }
        if let Some(Lost { from, to }) = lost {
            self.notice(
                Kind::Gap,
                &format!("lines {from} to {to} may not have arrived; another device has them"),
            );
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

    /// Compares a line with the one before it.
    fn follow(&mut self, head: Head, previous: Hash, noted: Option<&Noted>) {
        let Some(last) = self.last else {
            self.report.first = Some(head.number);
            self.begin(head.number, previous);
            self.last = Some(head);
            return;
        };
        let next = last.number.saturating_add(1);
        if head.number < next {
            return self.behind(head.number);
        }
        if head.number == next {
            // What was cut off has no hash any more.
            let is_known = last.hash != Hash::default();
            if is_known && previous != last.hash && noted.is_none_or(|noted| noted.lost.is_none()) {
                let number = last.number;
                self.fault(
                    Kind::Changed,
                    &format!("line {number}, before this one, is not as it was written"),
                );
            }
        } else {
            let to = head.number.saturating_sub(1);
            self.missing.insert(next, (to, self.place.clone()));
            if let Some(lost) = noted.and_then(|noted| noted.lost) {
                self.explain(lost);
            }
        }
        self.last = Some(head);
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
        let last = self.last.map_or(0, |last| last.number);
        if let Some((number, _)) = self.expected.filter(|(number, _)| *number > last) {
            self.fault(
                Kind::Cut,
                &format!(
                    "the record ends with line {last}; the server has written up to line {number}"
                ),
            );
        }
        if last > self.signed_to {
            let signed = self.signed_to;
            self.notice(Kind::Partial, &format!("the lines after {signed} are not signed yet: the server is running, or died, or the end was cut off and written anew"));
        }
        self.report.last = self.last;
        self.report.signed_to = self.signed_to;
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

/// Reads which line is meant: by its number, or by its hash as well.
fn named_line(text: &str) -> Result<(u64, Option<Hash>), BadLine> {
    let (number, hash) = text.split_once(':').map_or((text, None), |(n, h)| (n, Some(h)));
    let number = number.trim().parse().map_err(|_| BadLine)?;
    let hash = hash.map(|hash| Hash::parse(hash.trim()).ok_or(BadLine)).transpose()?;
    Ok((number, hash))
}

impl Report {
    /// Whether all is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults == 0
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
