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
    /// Tells of what is no line of the record, and whether a server has told how much of it there is.
    pub(super) fn tell_strange(&mut self, is_told: bool) {
        for Strange { place, ends_file, .. } in std::mem::take(&mut self.strange) {
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
