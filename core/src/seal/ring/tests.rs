use super::*;
use crate::chance::testing::Counting;

const NOW: Timestamp = Timestamp(1_795_314_365_000);

fn ring() -> KeyRing {
    let chance = Counting::default();
    KeyRing::draw(InstallationId::new(NOW, &chance), NOW, &chance)
}

#[test]
fn a_ring_of_before_there_were_dates_still_opens() {
    let installation = InstallationId::new(NOW, &Counting::default());
    let (one, two): (Vec<u8>, Vec<u8>) = (vec![1; 32], vec![2; 32]);
    let stored = serde_json::json!({
        "installation": installation, "keys": [one, two], "token_key": vec![3; 32],
        "audit_key": vec![4; 32],
    });
    let ring: KeyRing = serde_json::from_value(stored).unwrap();
    assert_eq!((ring.keys.len(), ring.keys[1].key), (2, [2; 32]));
    assert_eq!((ring.installed_at(), ring.rotation), (NOW, Rotation::default()));
    let sealed = SealingKey::new(2, &[2; 32]).seal(&count_at(), b"x", &Counting::default());
    let opened = ring.unsealed(&RootKey::new([5; 32])).barrier.open(&count_at(), &sealed);
    assert_eq!(&**opened.unwrap(), b"x");
}

#[test]
fn a_new_key_seals_and_the_old_ones_open() {
    let (mut ring, chance) = (ring(), Counting::default());
    let root = RootKey::new([5; 32]);
    let barrier = ring.unsealed(&root).barrier;
    let before = barrier.seal(&count_at(), b"before", &chance).unwrap();
    assert_eq!(barrier.seals(), (1, 1));
    ring.keys.push(RingKey::draw(NOW, &chance));
    let after = ring.unsealed(&root).barrier.seal(&count_at(), b"after", &chance).unwrap();
    assert!(barrier.lacks_key_of(&after) && barrier.open(&count_at(), &after).is_err());

    barrier.take(ring.sealing_keys());

    assert_eq!(barrier.seals(), (2, 0));
    assert_eq!(&**barrier.open(&count_at(), &before).unwrap(), b"before");
    assert_eq!(&**barrier.open(&count_at(), &after).unwrap(), b"after");
    let sealed = barrier.seal(&count_at(), b"x", &chance).unwrap();
    assert_eq!((sealed.0[1..5].to_vec(), barrier.seals()), (vec![0, 0, 0, 2], (2, 1)));
}

#[test]
fn a_ring_that_was_read_before_another_takes_no_key_away() {
    let (mut ring, chance) = (ring(), Counting::default());
    let few: Vec<_> = ring.sealing_keys().copied().collect();
    ring.keys.push(RingKey::draw(NOW, &chance));
    let barrier = ring.unsealed(&RootKey::new([5; 32])).barrier;
    barrier.take(&few);
    assert_eq!(barrier.seals().0, 2);
}

#[test]
fn a_copy_seals_under_a_key_that_the_original_does_not_have() {
    let (mut ring, chance) = (ring(), Counting::default());
    let original = ring.unsealed(&RootKey::new([5; 32])).barrier;
    ring.become_a_copy(InstallationId::new(NOW, &chance), NOW, &chance);
    let copy = ring.unsealed(&RootKey::new([5; 32])).barrier;
    let sealed = copy.seal(&count_at(), b"x", &chance).unwrap();
    assert!(original.open(&count_at(), &sealed).is_err());
}

#[test]
fn a_key_is_due_when_it_is_worn_or_old() {
    let day = Duration::from_hours(24);
    let rotation = |enabled, seals_max, interval| Rotation { enabled, seals_max, interval };
    let never = Duration::ZERO;
    for (rotation, seals, age, due) in [
        (Rotation::default(), SEALS_MAX - 1, day * 1000, false),
        (Rotation::default(), SEALS_MAX, never, true),
        (rotation(true, 5_000_000, never), 5_000_000, never, true),
        (rotation(true, 5_000_000, never), 4_999_999, never, false),
        (rotation(true, SEALS_MAX, day), 0, day, true),
        (rotation(true, SEALS_MAX, day), 0, day / 2, false),
        (rotation(false, 5_000_000, day), 5_000_000, day * 2, false),
        (rotation(false, 5_000_000, day), SEALS_MAX, never, true),
    ] {
        let status = KeyStatus { key: 1, installed_at: NOW, seals };
        assert_eq!(is_due(rotation, status, NOW.plus(age)), due, "{rotation:?} {seals} {age:?}");
    }
}
