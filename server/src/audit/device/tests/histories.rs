//! Seeded histories of one device: full disks, rotations, clean ends, and deaths that leave any part of what was not
//! synced yet. None of them may ever be told as a fault.

use super::*;

/// What is at the place of the record, the latest last.
#[derive(Clone, Default)]
struct Files(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: Vec<Vec<u8>>,
    /// How much of the last one a power cut leaves.
    synced: usize,
    /// Whether the file is moved away before it is opened next.
    moved: bool,
    /// How many more bytes fit.
    room: Option<usize>,
    /// Its end cannot be read.
    blind: bool,
}

impl Disk {
    fn open(&mut self) {
        if std::mem::take(&mut self.moved) || self.files.is_empty() {
            self.files.push(Vec::new());
            self.synced = 0;
        }
    }

    fn file(&mut self) -> &mut Vec<u8> {
        self.files.last_mut().unwrap()
    }

    /// How many pieces of lines the file ends with. Until somebody has told of them one is explained, and no more.
    fn pieces(&mut self) -> usize {
        let lines = self.file().split(|byte| *byte == b'\n').rev();
        let pieces =
            lines.take_while(|line| serde_json::from_slice::<serde_json::Value>(line).is_err());
        pieces.filter(|piece| !piece.is_empty()).count()
    }

    fn is_explained(&mut self) -> bool {
        let is_torn = self.file().last().is_some_and(|last| *last != b'\n');
        self.pieces() == usize::from(is_torn)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let arrived = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        self.room = self.room.map(|room| room.saturating_sub(arrived));
        self.file().extend_from_slice(&bytes[..arrived]);
        if arrived < bytes.len() { Err(arrived) } else { Ok(()) }
    }
}

impl Sink for Files {
    fn take(&mut self, lines: &[u8]) -> Result<(), Broken> {
        let mut disk = self.0.lock();
        let is_torn = disk.file().last().is_some_and(|last| *last != b'\n');
        let newline = if is_torn { disk.put(b"\n").map_err(|_| 0) } else { Ok(()) };
        let outcome = newline.and_then(|()| disk.put(lines));
        outcome.map_err(|arrived| Broken { arrived, reason: "no room".to_owned() })
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.0.lock().open();
        Ok(())
    }

    fn end(&mut self, bytes_max: usize) -> io::Result<Option<(Vec<u8>, bool)>> {
        let mut disk = self.0.lock();
        let from = disk.file().len().saturating_sub(bytes_max);
        Ok((!disk.blind).then(|| (disk.file()[from..].to_vec(), from > 0)))
    }
}

impl Files {
    fn may_move(&self, dice: &mut Dice) {
        let mut disk = self.0.lock();
        disk.moved = disk.is_explained() && disk.room.is_none() && dice.one_in(2);
    }

    fn verified(&self, keys: &DeviceKeys) -> Report {
        let mut verifier = Verifier::new([keys.chain().public().as_str()]).unwrap();
        for (at, file) in self.0.lock().files.iter().enumerate() {
            verifier.file(&at.to_string());
            let mut lines: Vec<_> = file.split(|byte| *byte == b'\n').collect();
            let torn = lines.pop().filter(|torn| !torn.is_empty());
            lines.into_iter().chain(torn).for_each(|line| verifier.line(line));
            if torn.is_some() {
                verifier.ends_torn();
            }
        }
        verifier.finish()
    }
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0.checked_rem(u64::try_from(end).unwrap()).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// One life of a process; tells what is kept when it ends.
async fn lives(files: &Files, keys: &DeviceKeys, dice: &mut Dice, kept: &mut Option<KeptHead>) {
    files.0.lock().open();
    let device = Device::start("main", true, files.clone()).unwrap();
    let new = KeptHead { head: Head::default(), ended: true, at: Timestamp(0), begun: 0 };
    let was = kept.clone();
    let begun = &mut kept.get_or_insert(new).begun;
    *begun = begun.saturating_add(1);
    let _ = device.begin(beginning(keys, was)).await;
    for _ in 0..dice.below(12) {
        match dice.below(9) {
            0 => files.0.lock().room = Some(dice.below(700)),
            1 | 2 => files.0.lock().room = None,
            3 => {
                files.may_move(dice);
                let _ = device.reopen().await;
            }
            4 | 5 => keeps(&device, files, false, dice, kept).await,
            _ => {
                let _ = device.record(line(dice.below(1000))).await;
            }
        }
    }
    if dice.one_in(4) {
        keeps(&device, files, true, dice, kept).await;
    }
}

async fn keeps(
    device: &Device,
    files: &Files,
    ended: bool,
    dice: &mut Dice,
    kept: &mut Option<KeptHead>,
) {
    let Ok(Some(head)) = device.checkpoint(ended).await else { return };
    let mut disk = files.0.lock();
    disk.synced = disk.file().len();
    // The store may be slow.
    if !dice.one_in(4) {
        *kept = Some(KeptHead { head, ended, at: Timestamp(0), begun: 0 });
    }
}

/// Between two lives: what is not synced may be gone with the power, and the file may be moved away.
fn rests(files: &Files, dice: &mut Dice) {
    let mut disk = files.0.lock();
    disk.room = dice.one_in(4).then(|| dice.below(700));
    let (synced, all) = (disk.synced, disk.file().len());
    if dice.one_in(2) && all > synced {
        let left = dice.below(all.saturating_sub(synced).saturating_add(1));
        disk.file().truncate(synced.saturating_add(left));
    }
    disk.moved = disk.is_explained() && dice.one_in(5);
    disk.blind = disk.pieces() == 0 && dice.one_in(6);
}

#[tokio::test]
async fn no_honest_history_is_told_as_a_fault() {
    let keys = keys();
    for seed in 1..=50 {
        let (files, mut dice, mut kept) = (Files::default(), Dice(seed), None);
        for _ in 0..8 {
            dice.below(100);
        }
        for life in 0..8 {
            lives(&files, &keys, &mut dice, &mut kept).await;
            let report = files.verified(&keys);
            let shown = || {
                let disk = files.0.lock();
                let texts = disk.files.iter().map(|file| String::from_utf8_lossy(file));
                texts.collect::<Vec<_>>().join("-----\n")
            };
            let is_early = report.signed_to == 0 || !files.0.lock().is_explained();
            assert!(is_early || report.is_sound(), "{seed} {life} {report:#?}\n{}", shown());
            rests(&files, &mut dice);
        }
    }
}
