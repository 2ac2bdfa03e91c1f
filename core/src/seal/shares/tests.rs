use super::*;
use proptest::prelude::*;
use std::sync::Mutex;

/// Chance that is drawn anew for every test, and the same every time.
#[derive(Debug)]
struct Mixed(Mutex<u64>);

impl Mixed {
    fn from(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Chance for Mixed {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap();
        for byte in bytes {
            // splitmix64
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = u8::try_from((z ^ (z >> 31)) & 0xff).unwrap();
        }
    }
}

fn share(text: &str) -> Share {
    Share::parse(text).unwrap()
}

#[test]
fn the_field_is_that_of_aes() {
    // FIPS 197, sections 4.2 and 4.2.1.
    assert_eq!((mul(0x57, 0x83), mul(0x57, 0x13), mul(0x57, 0x02)), (0xc1, 0xfe, 0xae));
    assert_eq!(inverse(0x53), 0xca);
    for a in 1..=255 {
        assert_eq!(mul(a, inverse(a)), 1, "{a}");
    }
    // A slow and obvious product: of polynomials, and then what is left of dividing.
    for (a, b) in (0..=255_u16).flat_map(|a| (0..=255_u16).map(move |b| (a, b))) {
        let mut product =
            (0..8).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ (a << bit));
        for bit in (8..16).rev().filter(|bit| *bit >= 8) {
            if product >> bit & 1 == 1 {
                product ^= 0x11b << (bit - 8);
            }
        }
        assert_eq!(u16::from(mul(a.try_into().unwrap(), b.try_into().unwrap())), product);
    }
}

#[test]
fn shares_that_vault_made_join_to_one_key() {
    // Told by a real server, which needs two of three.
    let told = [
        "00127523103543f4a16d18b29f499ee34a7f6fce5bc7a21416f6b4a5e6fc9e0554",
        "kNeIIumNXEF0fvh4mrr7zmUsZwwOzfDYO9gMl03skO5w",
        "4391927d948593bfb5189376a2b7fc2d3860a9cc9bbde30fd8da04bb236b87aa02",
    ];
    let shares = told.map(share);
    let key = |one: usize, two: usize| WholeKey::join(&[&shares[one], &shares[two]]).unwrap().0;
    assert_eq!(key(0, 1), key(1, 2));
    assert_eq!(key(0, 1), key(2, 0));
    let all: Vec<_> = shares.iter().collect();
    assert_eq!(WholeKey::join(&all).unwrap().0, key(0, 1));
    for (share, told) in shares.iter().zip(told) {
        assert!(told == share.hex().as_str() || told == share.base64().as_str());
    }
}

#[test]
fn what_cannot_be_split_is_refused_in_vaults_words() {
    for (shares, threshold, refused) in [
        (0, 0, "shares must be at least one"),
        (-1, 1, "shares must be at least one"),
        (256, 3, "shares must be less than 256"),
        (i64::MAX, 3, "shares must be less than 256"),
        (3, 0, "threshold must be at least one"),
        (1, 2, "threshold cannot be larger than shares"),
        (3, i64::MAX, "threshold cannot be larger than shares"),
        (5, 1, "threshold must be greater than one for multiple shares"),
    ] {
        let error = Split::new(shares, threshold).unwrap_err();
        assert_eq!(error.to_string(), refused, "{shares} {threshold}");
    }
    for (shares, threshold) in [(1, 1), (2, 2), (255, 255), (255, 2)] {
        Split::new(shares, threshold).unwrap();
    }
}

#[test]
fn a_text_that_is_no_share_is_refused_in_vaults_words() {
    let long = "ab".repeat(34);
    let longest = "ab".repeat(5_000_000);
    for (text, refused) in [
        ("", ShareTextError::TooShort),
        ("aa", ShareTextError::NoShare),
        ("not base64 or hex!", ShareTextError::NoShare),
        ("AAAA", ShareTextError::TooShort),
        ("é", ShareTextError::NoShare),
        (&long, ShareTextError::TooLong),
        (&longest, ShareTextError::TooLong),
    ] {
        assert_eq!(Share::parse(text).unwrap_err(), refused, "{text:.40}");
    }
    for fits in ["ab".repeat(16), "AB".repeat(33)] {
        assert_eq!(Share::parse(&fits).unwrap().hex().as_str(), fits.to_lowercase());
    }
}

#[test]
fn shares_that_cannot_belong_together_make_nothing() {
    let key = WholeKey::draw(&Mixed::from(1));
    let shares = key.split(Split::new(3, 2).unwrap(), &Mixed::from(2));
    assert!(WholeKey::join(&[]).is_none());
    assert!(WholeKey::join(&[&shares[0], &shares[0]]).is_none(), "the same share twice");
    let whole = share(&"ab".repeat(32));
    assert!(WholeKey::join(&[&shares[0], &whole]).is_none(), "a share without a point");
    let nowhere = share(&format!("{}00", "ab".repeat(32)));
    assert!(WholeKey::join(&[&shares[0], &nowhere]).is_none(), "the point zero is the key");
}

#[test]
fn a_key_that_is_not_split_is_its_own_share() {
    let key = WholeKey::draw(&Mixed::from(1));
    let shares = key.split(Split::new(1, 1).unwrap(), &Mixed::from(2));
    assert_eq!((shares.len(), shares[0].0.as_slice()), (1, key.0.as_slice()));
    assert_eq!(WholeKey::join(&[&shares[0]]).unwrap().0, key.0);
}

#[test]
fn one_share_too_few_says_nothing_about_the_key() {
    // With chance that is even, so is every byte of a share, whatever the key: a bias in it is how shares of other
    // libraries told the key. 99.9 % of even draws stay under 330, with 255 degrees of freedom.
    const SPLITS: u64 = 4_000;
    for key in [[0; KEY_BYTES], [0xff; KEY_BYTES]] {
        let key = WholeKey(key);
        let chance = Mixed::from(7);
        let mut counts = [[0_u32; 256]; 2];
        for _ in 0..SPLITS {
            let shares = key.split(Split::new(3, 2).unwrap(), &chance);
            for (counts, share) in counts.iter_mut().zip(&shares) {
                for value in &share.0[..KEY_BYTES] {
                    counts[usize::from(*value)] += 1;
                }
            }
        }
        let expected = f64::from(u32::try_from(SPLITS).unwrap()) * 32.0 / 256.0;
        for counts in counts {
            let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
            let chi: f64 = counts.iter().map(square).sum();
            assert!(chi < 330.0, "{chi}");
        }
    }
}

#[test]
fn nothing_secret_shows() {
    let key = WholeKey([0xab; KEY_BYTES]);
    let shares = key.split(Split::new(2, 2).unwrap(), &Mixed::from(3));
    assert_eq!(format!("{key:?} {:?}", shares[0]), "WholeKey(..) Share(..)");
}

proptest! {
    #[test]
    fn any_threshold_of_shares_makes_the_key_and_no_fewer_do(
        key in prop::array::uniform32(any::<u8>()),
        seed in any::<u64>(),
        (shares, threshold) in (2_i64..=255).prop_flat_map(|n| (Just(n), 2..=n.min(20))),
    ) {
        let (key, chance) = (WholeKey(key), Mixed::from(seed));
        let split = Split::new(shares, threshold).unwrap();
        let mut shares = key.split(split, &chance);
        // Any of them, in any order.
        for place in (1..shares.len()).rev() {
            let below = u32::try_from(place).unwrap().saturating_add(1);
            let other = (&chance as &dyn Chance).below(below);
            shares.swap(place, usize::try_from(other).unwrap());
        }
        let enough: Vec<_> = shares.iter().take(split.threshold()).collect();
        prop_assert_eq!(WholeKey::join(&enough).unwrap().0, key.0);
        let few = WholeKey::join(&enough[1..]);
        prop_assert!(few.is_none_or(|few| few.0 != key.0));
    }
}
