//! Tests of the format of backups.

use super::*;
use crate::store::Revision;

fn key(byte: u8) -> BackupKey {
    BackupKey::of(&RootKey::new([byte; 32]))
}

fn installation() -> InstallationId {
    InstallationId::from_bytes([1; 16])
}

fn entries() -> Vec<Entry> {
    (0_u8..20)
        .map(|n| (Key(vec![n; 5]), Value(vec![n; usize::from(n) * 7]), Revision(u64::from(n))))
        .collect()
}

fn written(key: &BackupKey) -> Vec<u8> {
    let (mut encoder, mut bytes) = Encoder::begin(key, installation(), Timestamp(7_000));
    for chunk in entries().chunks(6) {
        bytes.extend(encoder.records(chunk));
    }
    let (end, count) = encoder.end();
    assert_eq!(count, 20);
    bytes.extend(end);
    bytes
}

fn read(
    key: Option<BackupKey>,
    bytes: &[u8],
    part: usize,
) -> Result<Vec<(Key, Value)>, BackupFileError> {
    let mut decoder = Decoder::new(key);
    let mut found = Vec::new();
    for part in bytes.chunks(part) {
        found.extend(decoder.feed(part)?);
    }
    decoder.end().map(|_| found)
}

#[test]
fn a_backup_reads_back_in_parts_of_any_size() {
    let bytes = written(&key(7));
    let expected: Vec<_> = entries().into_iter().map(|(key, value, _)| (key, value)).collect();
    for part in [1, 2, 3, 17, 64, 1000, usize::MAX] {
        assert_eq!(read(Some(key(7)), &bytes, part).unwrap(), expected, "{part}");
        assert_eq!(read(None, &bytes, part).unwrap(), expected, "{part}");
    }
}

#[test]
fn a_backup_says_whose_it_is_and_of_when() {
    let mut decoder = Decoder::new(Some(key(7)));
    decoder.feed(&written(&key(7))).unwrap();
    let (header, count) = decoder.end().unwrap();
    assert_eq!(
        (header.installation, header.taken_at, count),
        (installation(), Timestamp(7_000), 20)
    );
}

#[test]
fn a_backup_that_ends_anywhere_too_early_is_cut_off() {
    let bytes = written(&key(7));
    assert_eq!(read(Some(key(7)), &[], 64), Err(BackupFileError::NotABackup));
    for end in 1..bytes.len() {
        for key in [Some(key(7)), None] {
            let outcome = read(key, &bytes[..end], 64);
            assert!(
                matches!(outcome, Err(BackupFileError::Truncated { .. })),
                "{end}: {outcome:?}"
            );
        }
    }
}

#[test]
fn no_bit_can_be_flipped_unnoticed_and_nothing_added() {
    let bytes = written(&key(7));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            assert!(read(Some(key(7)), &altered, 4096).is_err(), "bit {bit} of byte {at}");
        }
    }
    let longer = [bytes.as_slice(), b"R"].concat();
    assert_eq!(read(Some(key(7)), &longer, 4096), Err(BackupFileError::Altered));
    // A record taken out, with the number made right: only the HMAC tells.
    let mut decoder = Decoder::new(Some(key(7)));
    let (mut encoder, mut forged) = Encoder::begin(&key(8), installation(), Timestamp(7_000));
    forged.extend(encoder.records(&entries()[1..]));
    forged.extend(encoder.end().0);
    let id = |key: &BackupKey| key.id.clone().into_bytes();
    let at = forged.windows(16).position(|window| window == id(&key(8))).unwrap();
    forged[at..at + 16].copy_from_slice(&id(&key(7)));
    assert_eq!(decoder.feed(&forged), Err(BackupFileError::Altered));
}

#[test]
fn what_is_wrong_with_a_backup_is_told_apart() {
    let bytes = written(&key(7));
    let other = read(Some(key(8)), &bytes, 64).unwrap_err();
    assert!(matches!(other, BackupFileError::OtherKey { .. }), "{other}");
    let (message, ours, theirs) = (other.to_string(), key(8).id, key(7).id);
    for part in [installation().to_string(), ours, theirs] {
        assert!(message.contains(&part), "{message}");
    }
    let mut later = bytes.clone();
    later[20] = 2;
    assert_eq!(read(Some(key(7)), &later, 64), Err(BackupFileError::LaterFormat { found: 2 }));
    for text in ["x", "leasehold-store\n and more", "PK\u{3}\u{4}", "\n"] {
        assert_eq!(
            read(Some(key(7)), text.as_bytes(), 64),
            Err(BackupFileError::NotABackup),
            "{text}"
        );
    }
}

#[test]
fn a_length_that_nobody_wrote_is_not_waited_for() {
    let (_, begun) = Encoder::begin(&key(7), installation(), Timestamp(7_000));
    let huge = [begun.as_slice(), b"R", &[0xff; 8]].concat();
    assert_eq!(Decoder::new(None).feed(&huge), Err(BackupFileError::Altered));
}
