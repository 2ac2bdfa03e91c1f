//! Keeps the audit record in a file, or on the standard output, one line a record.

use super::device::Device;
use super::{Broken, OpenError, Sink};
use crate::check;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Tells whether a file at `path` could be opened, as far as that can be known without making it.
pub(crate) fn could_open(path: &Path, mode: u32) -> Result<(), OpenError> {
    let place = Place { path: path.to_owned(), mode };
    if place.is_there()? {
        let open = OpenOptions::new().read(true).append(true).open(path);
        return open.map(drop).map_err(|error| unusable(path, &error));
    }
    check::could_be_made(path).map_err(|error| unusable(path, &error))
}

/// Appends to the file at `path`, which is made if there is none, with these permissions. With `fsync`, a line is
/// acknowledged once it is on the disk; without it, once the system has it.
pub fn open(
    name: impl Into<String>,
    path: &Path,
    mode: u32,
    fsync: bool,
) -> Result<Device, OpenError> {
    let place = Place { path: path.to_owned(), mode };
    let lines = place.open()?;
    Device::start(name, true, FileSink { place: Some(place), lines, left: None, fsync })
}

/// Writes to the standard output.
pub fn stdout(name: impl Into<String>) -> Result<Device, OpenError> {
    // A descriptor of its own, past the buffer of the standard library: what that had taken would count as written.
    let file = io::stdout().as_fd().try_clone_to_owned();
    let file = file.map_err(|error| unusable(Path::new("stdout"), &error))?;
    let lines = Lines { to: File::from(file), torn: false };
    Device::start(name, true, FileSink { place: None, lines, left: None, fsync: false })
}

/// What the writer writes to.
struct FileSink {
    /// Where the file is; the standard output is nowhere.
    place: Option<Place>,
    lines: Lines<File>,
    /// What was moved away, and whose last lines are not known to be on the disk yet.
    left: Option<File>,
    fsync: bool,
}

impl Sink for FileSink {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        self.lines.append(lines)?;
        let synced = if self.fsync { self.lines.to.sync_data() } else { Ok(()) };
        // What is written stays written, whether or not it would be there after a power cut.
        synced.map_err(|error| Broken { arrived: lines.len(), reason: error.to_string() })
    }

    fn reopen(&mut self) -> Result<(), String> {
        if let Some(place) = &self.place {
            let next = place.open().map_err(|error| error.to_string())?;
            self.left = Some(std::mem::replace(&mut self.lines, next).to);
        }
        Ok(())
    }

    fn end(&mut self, bytes_max: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        if self.place.is_none() {
            return Ok(None);
        }
        let file = &mut self.lines.to;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(u64::try_from(bytes_max).unwrap_or(u64::MAX));
        file.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        // Without a bound, whoever appends to it meanwhile would decide when this ends.
        file.take(length.saturating_sub(from)).read_to_end(&mut end)?;
        Ok(Some((end, from > 0)))
    }

    fn to_sync(&mut self) -> Vec<File> {
        let left = self.left.take();
        // What is synced line by line needs it no more; a pipe cannot be.
        if self.fsync || self.place.is_none() {
            return Vec::new();
        }
        left.into_iter().chain(self.lines.to.try_clone()).collect()
    }
}

/// Where a record is kept, and who may read it.
struct Place {
    path: PathBuf,
    mode: u32,
}

impl Place {
    /// Checks what is at the path, and tells whether anything is; changes nothing.
    fn is_there(&self) -> Result<bool, OpenError> {
        let path = self.path.as_path();
        let is_there = match path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(OpenError::NotFile { path: path.to_owned() });
            }
            Ok(found) if found.permissions().mode() & 0o111 != 0 => {
                return Err(OpenError::Executable { path: path.to_owned() });
            }
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(unusable(path, &error)),
        };
        if self.mode & 0o111 != 0 {
            return Err(OpenError::Executable { path: path.to_owned() });
        }
        Ok(is_there)
    }

    fn open(&self) -> Result<Lines<File>, OpenError> {
        let path = self.path.as_path();
        let failed = |error: io::Error| unusable(path, &error);
        if !self.is_there()? {
            self.make_folder()?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(self.mode);
        let mut file = options.open(path).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(self.mode)).map_err(failed)?;
        let torn = ends_torn(&mut file).map_err(failed)?;
        Ok(Lines { to: file, torn })
    }

    fn make_folder(&self) -> Result<(), OpenError> {
        let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty())
        else {
            return Ok(());
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| unusable(folder, &error))
    }
}

/// Tells whether the last line was cut off: its process died, or the disk was full.
fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Appends whole lines.
struct Lines<W> {
    to: W,
    /// Whether what was written last is not the end of a line.
    torn: bool,
}

impl<W: Write> Lines<W> {
    /// Appends lines, after the end of one that was cut off.
    fn append(&mut self, group: &[u8]) -> Result<(), Broken> {
        if self.torn {
            self.write_all(b"\n").map_err(|broken| Broken { arrived: 0, ..broken })?;
        }
        self.write_all(group)
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = match self.to.write(rest) {
                Ok(0) => Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome,
            };
            let written = written.map_err(|error| Broken {
                arrived: bytes.len().saturating_sub(rest.len()),
                reason: error.to_string(),
            })?;
            let (done, left) = rest.split_at_checked(written).unwrap_or((rest, &[]));
            self.torn = done.last() != Some(&b'\n');
            rest = left;
        }
        Ok(())
    }
}

fn unusable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Unusable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::audit::Audit as _;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[tokio::test]
    async fn lines_are_in_the_file_once_acknowledged_and_in_their_order() {
        for fsync in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("new/audit.log");
            let audit = open("file", &path, 0o600, fsync).unwrap();
            let mut expected = String::new();
            for number in 0..100 {
                audit.record(format!("line {number}")).await.unwrap();
                expected = format!("{expected}line {number}\n");
                assert_eq!(text(&path), expected);
            }
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn with_fsync_a_line_counts_only_once_it_is_known_to_be_on_the_disk() {
        // What can be written to and not be synced tells whether that was asked.
        for fsync in [false, true] {
            let (mut reader, pipe) = io::pipe().unwrap();
            let lines = Lines { to: File::from(OwnedFd::from(pipe)), torn: false };
            let mut sink = FileSink { place: None, lines, left: None, fsync };
            let taken = sink.take(b"line\n");
            assert_eq!(taken.is_ok(), !fsync, "{taken:?}");
            if let Err(Broken { arrived, .. }) = taken {
                assert_eq!(arrived, 5, "what was written stays written");
            }
            drop(sink);
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "line\n");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_line_of_many_callers_is_lost_or_mixed_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Arc::new(open("file", &path, 0o600, false).unwrap());
        let callers = (0..32).map(|caller| {
            let audit = Arc::clone(&audit);
            tokio::spawn(async move {
                for number in 0..200 {
                    audit.record(format!("{caller} {number}")).await.unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        let text = text(&path);
        for caller in 0..32 {
            let prefix = format!("{caller} ");
            let numbers = text.lines().filter_map(|line| line.strip_prefix(&prefix));
            let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
            assert_eq!(numbers.collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn a_moved_file_is_left_when_asked_to_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let audit = open("file", &path, 0o600, false).unwrap();
        audit.record("one".into()).await.unwrap();
        std::fs::rename(&path, &moved).unwrap();
        audit.record("two".into()).await.unwrap();
        audit.reopen().await.unwrap();
        audit.record("three".into()).await.unwrap();
        assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("one\ntwo\n", "three\n"));

        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = audit.reopen().await.unwrap_err();
        assert!(error.to_string().contains("is not a file"), "{error}");
        audit.record("four".into()).await.unwrap();
    }

    #[test]
    fn what_was_moved_away_is_waited_for_once_before_what_followed_it_is_kept() {
        for (fsync, files) in [(false, [2, 1]), (true, [0, 0])] {
            let folder = tempfile::tempdir().unwrap();
            let place = Place { path: folder.path().join("audit.log"), mode: 0o600 };
            let lines = place.open().unwrap();
            let mut sink = FileSink { place: Some(place), lines, left: None, fsync };
            sink.reopen().unwrap();
            assert_eq!(files, [sink.to_sync().len(), sink.to_sync().len()]);
        }
    }

    #[tokio::test]
    async fn a_line_that_was_cut_off_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "whole\ncut o").unwrap();
        let audit = open("file", &path, 0o600, false).unwrap();
        audit.record("next".into()).await.unwrap();
        assert_eq!(text(&path), "whole\ncut o\nnext\n");
    }

    #[tokio::test]
    async fn a_record_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = open("file", &path, 0o600, false).unwrap();
        audit.record("one\ntwo".into()).await.unwrap_err();
        assert_eq!(text(&path), "");
    }

    #[test]
    fn a_folder_and_a_program_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = open("file", folder.path(), 0o600, false).unwrap_err();
        assert!(matches!(error, OpenError::NotFile { .. }), "{error}");
        let error = open("file", Path::new("/dev/null"), 0o600, false).unwrap_err();
        assert!(matches!(error, OpenError::NotFile { .. }), "{error}");

        let program = folder.path().join("program");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
        let error = open("file", &program, 0o600, false).unwrap_err();
        assert!(matches!(error, OpenError::Executable { .. }), "{error}");
        let error = open("file", &folder.path().join("new"), 0o755, false).unwrap_err();
        assert!(matches!(error, OpenError::Executable { .. }), "{error}");
    }

    /// Takes a number of bytes, and then no more until it has room again.
    struct Full {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = &bytes[..bytes.len().min(self.room)];
            if taken.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room = self.room.saturating_sub(taken.len());
            self.text.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_and_the_next_line_is_whole() {
        for (room, expected) in [(0, "two\n"), (2, "on\ntwo\n"), (4, "one\ntwo\n")] {
            let mut lines = Lines { to: Full { text: Vec::new(), room }, torn: false };
            let error = lines.append(b"one\nmore\n").unwrap_err();
            assert_eq!((error.arrived, error.reason.as_str()), (room, "no storage space"));
            // A disk that stays full does not change what has to be repaired.
            lines.append(b"lost\n").unwrap_err();
            lines.to.room = 100;
            lines.append(b"two\n").unwrap();
            assert_eq!(String::from_utf8(lines.to.text).unwrap(), expected);
        }
    }
}
