//! The ways in which what is asked for is written: what is listed ends in `/`, and is meant without it as well.

/// The longest path that is spelled without allocating, in bytes: that of a request with a `/` after it.
const ROOM: usize = 4097;

/// Where a path is spelled out that was asked for without the `/` at its end.
#[derive(Default)]
pub(super) struct Room {
    short: Option<[u8; ROOM]>,
    /// For paths that no request has.
    long: String,
}

/// Returns how a path is written, and how else.
pub(super) fn spellings<'q>(
    path: &'q str,
    listed: bool,
    room: &'q mut Room,
) -> (&'q str, Option<&'q str>) {
    if !listed {
        return (path, None);
    }
    match path.strip_suffix('/') {
        Some(bare) => (path, Some(bare)),
        None => (room.with_slash(path), Some(path)),
    }
}

impl Room {
    fn with_slash(&mut self, path: &str) -> &str {
        let short = self.short.insert([b'/'; ROOM]);
        if let Some(place) = short.get_mut(..path.len()) {
            place.copy_from_slice(path.as_bytes());
        }
        if let Some(Ok(spelled)) = short.get(..=path.len()).map(str::from_utf8) {
            return spelled;
        }
        self.long = format!("{path}/");
        &self.long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_spelled_with_a_slash_and_without_however_long_it_is() {
        for length in [0, 1, 64, ROOM - 2, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM] {
            let bare = "é".repeat(length / 2);
            let listed = format!("{bare}/");
            for asked in [&bare, &listed] {
                let mut room = Room::default();
                let told = spellings(asked, true, &mut room);
                assert_eq!(told, (listed.as_str(), Some(bare.as_str())), "{length}");
                assert_eq!(spellings(asked, false, &mut room), (asked.as_str(), None));
            }
        }
    }
}
