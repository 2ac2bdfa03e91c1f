//! Tests of what all devices have in common, on a place that does what a test wants.

#[path = "tests/histories.rs"]
mod histories;

use super::*;
use crate::chance::SystemChance;
use crate::time::SystemClock;
use leasehold_core::audit::DeviceKeys;
use leasehold_core::audit::verify::{Kind, Report, Verifier};
use leasehold_core::ids::InstallationId;
use leasehold_core::store::audit::KeptHead;
use parking_lot::{Condvar, Mutex};

/// Takes lines, unless it is told otherwise.
#[derive(Clone, Default)]
struct Shelf(Arc<(Mutex<Shelved>, Condvar)>);

#[derive(Default)]
struct Shelved {
    text: Vec<u8>,
    /// What was moved away.
    older: Vec<u8>,
    blocks: bool,
    /// Its end cannot be read.
    blind: bool,
    /// How many more bytes fit.
    room: Option<usize>,
}

impl Sink for Shelf {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let (shelved, changed) = &*self.0;
        let mut shelved = shelved.lock();
        changed.wait_while(&mut shelved, |shelved| shelved.blocks);
        let arrived = shelved.room.map_or(lines.len(), |room| room.min(lines.len()));
        if shelved.text.last().is_some_and(|last| *last != b'\n') && arrived > 0 {
            shelved.text.push(b'\n');
        }
        shelved.text.extend_from_slice(&lines[..arrived]);
        shelved.room = shelved.room.map(|room| room.saturating_sub(arrived));
        let reason = "no room".to_owned();
        if arrived < lines.len() { Err(Broken { arrived, reason }) } else { Ok(()) }
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.change(|shelved| shelved.older.append(&mut shelved.text));
        Ok(())
    }

    fn end(&mut self, bytes_max: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        if self.0.0.lock().blind {
            return Err(io::Error::other("it is blind"));
        }
        let text = self.0.0.lock().text.clone();
        let from = text.len().saturating_sub(bytes_max);
        Ok(Some((text[from..].to_vec(), from > 0)))
    }
}

impl Shelf {
    fn change(&self, change: impl FnOnce(&mut Shelved)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        let shelved = self.0.0.lock();
        String::from_utf8([&shelved.older[..], &shelved.text].concat()).unwrap()
    }

    fn verified(&self, keys: &DeviceKeys) -> Report {
        let mut verifier = Verifier::new([keys.chain().public().as_str()]).unwrap();
        let text = self.text();
        for line in text.lines() {
            verifier.line(line.as_bytes());
        }
        if !text.ends_with('\n') {
            verifier.ends_torn();
        }
        verifier.finish()
    }
}

fn keys() -> DeviceKeys {
    DeviceKeys::draw(&SystemChance, Timestamp(0))
}

fn beginning(keys: &DeviceKeys, kept: Option<KeptHead>) -> Beginning {
    let clock = Arc::new(SystemClock::start().unwrap());
    Beginning { key: keys.chain(), kept, installation: InstallationId::from_bytes([1; 16]), clock }
}

async fn started(shelf: &Shelf, keys: &DeviceKeys) -> Device {
    let device = Device::start("main", true, shelf.clone()).unwrap();
    device.begin(beginning(keys, None)).await.unwrap();
    device
}

fn line(id: usize) -> String {
    format!(r#"{{"type":"request","request":{{"id":"{id}"}}}}"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_many_callers_are_one_sound_chain() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = Arc::new(started(&shelf, &keys).await);
    let callers = (0..16).map(|caller| {
        let device = Arc::clone(&device);
        tokio::spawn(async move {
            for number in 0..100 {
                device.record(line(caller * 100 + number)).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let head = device.checkpoint(true).await.unwrap().unwrap();
    let report = shelf.verified(&keys);
    assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
    assert_eq!((report.lines, report.last), (1602, Some(head)));
    assert_eq!(device.load(), Load::default());
}

#[tokio::test]
async fn what_a_full_device_missed_is_told_in_its_record_when_it_has_room_again() {
    for room in [0, 10, 100] {
        let (shelf, keys) = (Shelf::default(), keys());
        let device = started(&shelf, &keys).await;
        device.record(line(1)).await.unwrap();
        shelf.change(|shelved| shelved.room = Some(room));
        let error = device.record(line(2)).await.unwrap_err();
        assert_eq!(error.to_string(), "audit device `main` did not record: no room");
        device.record(line(3)).await.unwrap_err();
        shelf.change(|shelved| shelved.room = None);
        device.record(line(4)).await.unwrap();
        let report = shelf.verified(&keys);
        assert!(report.is_sound(), "{room} {report:?}");
        assert!(report.findings.iter().any(|finding| finding.kind == Kind::Gap), "{report:?}");
        let torn = report.findings.iter().any(|finding| finding.kind == Kind::Torn);
        assert_eq!(torn, room > 0, "{room}: {}", shelf.text());
        assert_eq!(device.load().failed, 2);
        // Who takes the gap away is found.
        let all = shelf.text();
        let without: Vec<_> = all.lines().filter(|line| !line.contains("\"gap\"")).collect();
        shelf.change(|shelved| shelved.text = without.join("\n").into_bytes());
        assert!(!shelf.verified(&keys).is_sound());
    }
}

#[tokio::test]
async fn a_start_on_a_full_disk_is_told_later_with_the_line_that_was_cut_off_before_it() {
    for (before, room) in [("", 0), ("{\"ty", 0), ("{\"ty", 20)] {
        let (shelf, keys) = (Shelf::default(), keys());
        shelf.change(|shelved| {
            shelved.text = before.into();
            shelved.room = Some(room);
        });
        let device = Device::start("main", true, shelf.clone()).unwrap();
        device.begin(beginning(&keys, None)).await.unwrap_err();
        device.record(line(1)).await.unwrap_err();
        shelf.change(|shelved| shelved.room = None);
        device.record(line(2)).await.unwrap();
        device.checkpoint(true).await.unwrap();
        let report = shelf.verified(&keys);
        assert!(report.is_sound(), "{before} {room} {report:?}");
        let torn = report.findings.iter().filter(|finding| finding.kind == Kind::Torn).count();
        assert_eq!(torn, usize::from(!before.is_empty()) + usize::from(room > 0));
    }
}

#[tokio::test]
async fn a_record_whose_end_cannot_be_read_goes_on_within_its_chain() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    device.record(line(1)).await.unwrap();
    let head = device.checkpoint(true).await.unwrap().unwrap();
    shelf.change(|shelved| shelved.blind = true);
    let kept = KeptHead { head, ended: true, at: Timestamp(0), begun: 0 };
    device.begin(beginning(&keys, Some(kept))).await.unwrap();
    device.record(line(2)).await.unwrap();
    device.checkpoint(true).await.unwrap();
    let report = shelf.verified(&keys);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.lines, report.unsigned), (6, 0), "every line is of the chain");
}

#[tokio::test]
async fn a_record_that_has_ended_may_be_moved_away_before_it_goes_on() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    device.record(line(1)).await.unwrap();
    let head = device.checkpoint(true).await.unwrap().unwrap();
    device.reopen().await.unwrap();
    let kept = KeptHead { head, ended: true, at: Timestamp(0), begun: 0 };
    device.begin(beginning(&keys, Some(kept))).await.unwrap();
    device.record(line(2)).await.unwrap();
    device.reopen().await.unwrap();
    device.checkpoint(true).await.unwrap();
    let report = shelf.verified(&keys);
    assert!(report.is_sound() && report.findings.is_empty(), "{report:?}");
    assert_eq!(report.lines, 8);
}

#[tokio::test]
async fn a_blocked_device_holds_a_bounded_queue_and_counts_what_finds_no_room() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    shelf.change(|shelved| shelved.blocks = true);
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    // Who does not wait for room has missed.
    for _ in 0..2000 {
        drop(device.record(long.clone()));
    }
    let load = device.load();
    assert!(load.waiting < 200 && load.missed > 1800, "{load:?}");
    assert_eq!(load.waiting + load.missed, 2000);
    // Who does wait is served once there is.
    let waits = device.record(line(1));
    shelf.change(|shelved| shelved.blocks = false);
    waits.await.unwrap();
    device.checkpoint(false).await.unwrap();
    let report = shelf.verified(&keys);
    assert!(report.is_sound(), "{report:?}");
    let missed = format!("missed {} lines", load.missed);
    assert!(report.findings.iter().any(|finding| finding.message.contains(&missed)), "{report:?}");
    assert_eq!(device.load(), Load { waiting: 0, ..load });
}

#[tokio::test]
async fn a_start_finds_what_became_of_the_record() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    device.record(line(1)).await.unwrap();
    let head = device.checkpoint(true).await.unwrap().unwrap();
    drop(device);
    let kept = KeptHead { head, ended: true, at: Timestamp(0), begun: 0 };
    let whole = shelf.text();
    let cut = whole.lines().next().unwrap();
    for (text, found) in [
        (whole.clone(), "whole"),
        (format!("{cut}\n"), "cut"),
        (format!("{cut}\n{{\"torn"), "cut"),
        (whole.replace("request", "requests"), "whole"),
        (whole.replace("ended", "checkpoint"), "other"),
        (String::new(), "nothing"),
    ] {
        shelf.change(|shelved| shelved.text = text.clone().into_bytes());
        let device = Device::start("main", true, shelf.clone()).unwrap();
        device.begin(beginning(&keys, Some(kept.clone()))).await.unwrap();
        let text = shelf.text();
        let told = text.lines().last().unwrap();
        assert!(told.contains(&format!(r#""found":{{"is":"{found}""#)), "{found}: {told}");
        assert_eq!(told.contains("torn_bytes"), text.contains("{\"torn"), "{told}");
        assert!(told.contains(&format!(r#""number":{}"#, head.number + 1)), "{told}");
    }
}

#[tokio::test]
async fn lines_after_the_last_checkpoint_are_read_back_however_many_there_are() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    let kept = device.checkpoint(false).await.unwrap().unwrap();
    for id in 0..2000 {
        device.record(line(id)).await.unwrap();
    }
    drop(device);
    assert!(shelf.text().len() > END_BYTES * 3);
    let device = Device::start("main", true, shelf.clone()).unwrap();
    let kept = KeptHead { head: kept, ended: false, at: Timestamp(0), begun: 0 };
    device.begin(beginning(&keys, Some(kept))).await.unwrap();
    let report = shelf.verified(&keys);
    // Nobody had signed them before, and who found them there cannot tell who wrote them.
    let told: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert!(report.is_sound() && told == [Kind::Partial] && report.unsigned == 2000, "{report:?}");
    assert_eq!(report.last.unwrap().number, 2002);
}

/// A time that a test sets.
#[derive(Debug, Default)]
struct Hand(std::sync::atomic::AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }

    fn advance_to(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_crash_at_any_byte_of_a_start_is_no_fault_of_the_record() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    let kept = device.checkpoint(false).await.unwrap().unwrap();
    let kept = KeptHead { head: kept, ended: false, at: Timestamp(0), begun: 0 };
    device.record(line(1)).await.unwrap();
    drop(device);
    let before = shelf.text();
    let device = Device::start("main", true, shelf.clone()).unwrap();
    device.begin(beginning(&keys, Some(kept.clone()))).await.unwrap();
    drop(device);
    let all = shelf.text();
    // The first process, and the second one that follows it, die within their last lines.
    for died in (before.len() - 100..=before.len()).step_by(20).chain([before.len() - 1]) {
        for room in (0..=all.len() - before.len()).step_by(50).chain([all.len() - before.len() - 1])
        {
            shelf.change(|shelved| {
                shelved.text = all.as_bytes()[..died].to_vec();
                shelved.room = Some(room);
            });
            let device = Device::start("main", true, shelf.clone()).unwrap();
            let _ = device.begin(beginning(&keys, Some(kept.clone()))).await;
            drop(device);
            shelf.change(|shelved| shelved.room = None);
            let device = Device::start("main", true, shelf.clone()).unwrap();
            device.begin(beginning(&keys, Some(kept.clone()))).await.unwrap();
            device.record(line(2)).await.unwrap();
            device.checkpoint(true).await.unwrap();
            let report = shelf.verified(&keys);
            assert!(report.is_sound(), "{died} {room} {report:?}\n{}", shelf.text());
        }
    }
}

#[tokio::test]
async fn a_line_that_lacks_only_its_newline_has_arrived() {
    let (shelf, keys) = (Shelf::default(), keys());
    let device = started(&shelf, &keys).await;
    let before = shelf.text().len();
    device.record(line(1)).await.unwrap();
    let length = shelf.text().len() - before;
    for room in [length - 1, 5] {
        shelf.change(|shelved| shelved.room = Some(room));
        device.record(line(1)).await.unwrap_err();
        shelf.change(|shelved| shelved.room = None);
    }
    device.record(line(3)).await.unwrap();
    device.checkpoint(true).await.unwrap();
    let report = shelf.verified(&keys);
    assert!(report.is_sound() && report.lines == 6, "{report:?}\n{}", shelf.text());
}

#[tokio::test]
async fn a_crash_after_a_rotation_is_no_fault_of_the_record() {
    // Where nothing had failed before, and where a line was cut off.
    for (room, goes_on) in [(None, true), (None, false), (Some(10), true), (Some(10), false)] {
        let (shelf, keys) = (Shelf::default(), keys());
        let device = started(&shelf, &keys).await;
        let head = device.checkpoint(false).await.unwrap().unwrap();
        device.record(line(1)).await.unwrap();
        shelf.change(|shelved| shelved.room = room);
        assert_eq!(device.record(line(2)).await.is_err(), room.is_some());
        shelf.change(|shelved| shelved.room = None);
        device.reopen().await.unwrap();
        if goes_on {
            device.record(line(3)).await.unwrap();
        }
        drop(device);
        let device = Device::start("main", true, shelf.clone()).unwrap();
        let kept = KeptHead { head, ended: false, at: Timestamp(0), begun: 0 };
        device.begin(beginning(&keys, Some(kept))).await.unwrap();
        device.checkpoint(true).await.unwrap();
        let report = shelf.verified(&keys);
        assert!(report.is_sound(), "{report:?}\n{}", shelf.text());
        assert!(report.last.unwrap().number < 20, "nothing was passed over");
    }
}

#[tokio::test]
async fn what_was_written_long_ago_is_signed_before_more_is_written() {
    let (shelf, keys) = (Shelf::default(), keys());
    let clock = Arc::new(Hand::default());
    let device = Device::start("main", true, shelf.clone()).unwrap();
    let hand: Arc<dyn Clock> = Arc::<Hand>::clone(&clock);
    device.begin(Beginning { clock: hand, ..beginning(&keys, None) }).await.unwrap();
    for second in 0..100 {
        clock.advance_to(Timestamp(second * 1000));
        let time = Timestamp(second * 1000).rfc3339();
        device.record(format!(r#"{{"time":"{time}","type":"request"}}"#)).await.unwrap();
    }
    // Whatever keeps the checkpoints away: so much may be unsigned when it dies.
    let report = shelf.verified(&keys);
    assert!(report.is_sound() && report.unsigned < 15, "{report:?}");
}

#[tokio::test]
async fn processes_that_die_before_anything_is_kept_of_them_number_no_line_twice() {
    for (ended, moved) in [(true, false), (true, true), (false, false), (false, true)] {
        let (shelf, keys) = (Shelf::default(), keys());
        let device = started(&shelf, &keys).await;
        device.record(line(1)).await.unwrap();
        let head = device.checkpoint(ended).await.unwrap().unwrap();
        shelf.change(|shelved| shelved.blind = !moved);
        for begun in 0..4 {
            if moved {
                shelf.change(|shelved| shelved.older.append(&mut shelved.text));
            }
            let device = Device::start("main", true, shelf.clone()).unwrap();
            let kept = KeptHead { head, ended, at: Timestamp(0), begun };
            device.begin(beginning(&keys, Some(kept))).await.unwrap();
            device.record(line(2)).await.unwrap();
        }
        let report = shelf.verified(&keys);
        assert!(report.is_sound(), "{ended} {moved} {report:?}");
        assert_eq!(report.lines, 11);
    }
}
