//! What is no line of a record: pieces of lines that were cut off, or what somebody has put there.

use super::{Kind, Place, Verifier};

/// Something that is no line of a record.
#[derive(Debug)]
pub(super) struct Strange {
    pub(super) place: Place,
    pub(super) bytes: u64,
    /// Whether its file ends with it, and without a newline.
    pub(super) ends_file: bool,
}

impl Verifier {
    /// Tells of what is no line of the record, and whether a server has told how many bytes of it there are.
    pub(super) fn tell_strange(&mut self, told_bytes: Option<u64>) {
        let strange = std::mem::take(&mut self.strange);
        let mut untold = strange.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
        // The last piece of a file that was moved away may not have been seen by whoever tells of the others.
        let mut told_from = 0_usize;
        for Strange { bytes, .. } in strange.iter().take_while(|it| it.ends_file) {
            if told_bytes == Some(untold) {
                break;
            }
            untold = untold.saturating_sub(*bytes);
            told_from = told_from.saturating_add(1);
        }
        for (at, Strange { place, ends_file, .. }) in strange.into_iter().enumerate() {
            let is_told = told_bytes == Some(untold) && at >= told_from;
            let (kind, message) = match (is_told, ends_file) {
                (true, _) => (
                    Kind::Torn,
                    "the line was cut off by a crash or a full disk, as the server said afterwards",
                ),
                (false, true) => (
                    Kind::Torn,
                    "the last line is not whole: it is being written, the server died, or it was cut off here",
                ),
                (false, false) => {
                    (Kind::Added, "this is no line of the record, and no crash explains it")
                }
            };
            self.find(kind, kind == Kind::Added, place, message);
        }
    }
}
