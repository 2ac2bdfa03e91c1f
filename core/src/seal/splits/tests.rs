use super::*;
use crate::chance::testing::Counting;

fn split(shares: i64, threshold: i64) -> Split {
    Split::new(shares, threshold).unwrap()
}

fn root() -> RootKey {
    RootKey::new([9; 32])
}

/// An unseal key in five shares, of which three are needed.
fn five() -> (Splits, Vec<Share>) {
    Splits::first(Purpose::Unseal, split(5, 3), &root(), &Counting::default())
}

fn opened(joined: Option<Joined>) -> [u8; 32] {
    *joined.unwrap().root().unwrap().expose()
}

#[test]
fn enough_shares_open_the_root_key_and_the_same_one_counts_once() {
    let (splits, shares) = five();
    let mut gathered = Gathered::new(&Counting::default());
    for (place, progress) in [(4, 1), (4, 1), (0, 2), (4, 2)] {
        let joined = gathered.take(Purpose::Unseal, &splits, shares[place].clone()).unwrap();
        assert!(joined.is_none());
        assert_eq!(gathered.progress(), progress);
    }
    let joined = gathered.take(Purpose::Unseal, &splits, shares[2].clone()).unwrap();
    assert_eq!((opened(joined), gathered.progress()), ([9; 32], 0));
}

#[test]
fn a_wrong_share_is_refused_alone_and_disturbs_nothing() {
    let (splits, shares) = five();
    let mut gathered = Gathered::new(&Counting::default());
    gathered.take(Purpose::Unseal, &splits, shares[0].clone()).unwrap();
    for place in 0..66 {
        let mut digits = shares[1].hex().as_bytes().to_vec();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        let wrong = Share::parse(std::str::from_utf8(&digits).unwrap()).unwrap();
        let refused = gathered.take(Purpose::Unseal, &splits, wrong).unwrap_err();
        assert_eq!((refused, gathered.progress()), (WrongShare::Unknown, 1));
    }
    gathered.take(Purpose::Unseal, &splits, shares[1].clone()).unwrap();
    let joined = gathered.take(Purpose::Unseal, &splits, shares[2].clone()).unwrap();
    assert_eq!(opened(joined), [9; 32]);
}

#[test]
fn old_shares_are_good_until_enough_of_the_new_ones_were_shown() {
    let (old, old_shares) = five();
    let (both, new_shares) =
        old.and_then(Purpose::Unseal, split(2, 2), &root(), &Counting::default());
    assert_eq!((both.split(), both.has_unshown()), (Some(split(2, 2)), true));
    let show = |splits: &Splits, shares: &[Share]| {
        let mut gathered = Gathered::new(&Counting::default());
        let mut last = None;
        for share in shares {
            last = gathered.take(Purpose::Unseal, splits, share.clone()).unwrap();
        }
        last
    };
    let by_old = show(&both, &old_shares[..3]).unwrap();
    assert!(!by_old.is_first_showing());
    assert_eq!(both.once_shown(&by_old), both);
    // One of each group is nothing.
    assert!(show(&both, &[new_shares[0].clone(), old_shares[0].clone()]).is_none());
    let by_new = show(&both, &new_shares).unwrap();
    assert!(by_new.is_first_showing());
    let after = both.once_shown(&by_new);
    assert_eq!((after.split(), after.has_unshown()), (Some(split(2, 2)), false));
    assert!(!after.has(&old_shares[0]) && after.has(&new_shares[0]));
    // A third key takes the place of the one that nobody has shown.
    let (third, _) = both.and_then(Purpose::Unseal, split(1, 1), &root(), &Counting::default());
    assert!(third.has(&old_shares[0]) && !third.has(&new_shares[0]));
    assert_eq!(both.without_unshown().groups, old.groups);
    // Whoever was given shares that are void now was told the root key.
    assert!(!both.root_is_known && third.root_is_known && after.root_is_known);
    assert!(both.without_unshown().root_is_known && both.newest().root_is_known);
}

#[test]
fn a_record_that_was_altered_opens_nothing() {
    let (mut splits, shares) = five();
    splits.groups[0].opens[40] ^= 1;
    let mut gathered = Gathered::new(&Counting::default());
    for share in &shares[..2] {
        gathered.take(Purpose::Unseal, &splits, share.clone()).unwrap();
    }
    let refused = gathered.take(Purpose::Unseal, &splits, shares[2].clone()).unwrap_err();
    assert_eq!(refused, WrongShare::Altered);
}

#[test]
fn a_recovery_key_opens_nothing() {
    let (splits, shares) =
        Splits::first(Purpose::Recovery, split(1, 1), &root(), &Counting::default());
    let mut gathered = Gathered::new(&Counting::default());
    let joined = gathered.take(Purpose::Recovery, &splits, shares[0].clone()).unwrap().unwrap();
    assert!(joined.root().is_none());
}

#[test]
fn what_is_stored_of_shares_stays_readable() {
    // As this format was first written.
    let stored = r#"{"groups":[{"split":{"shares":3,"threshold":2},"salt":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],
        "hashes":[],"opens":[1,2]}]}"#;
    let splits: Splits = serde_json::from_str(stored).unwrap();
    assert_eq!(splits.split(), Some(split(3, 2)));
}
