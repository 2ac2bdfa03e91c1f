//! Passwords that Leasehold draws: how long they are, of what, and what must be in them.

use crate::chance::Chance;
use crate::secret::SecretText;

/// No target takes passwords near this long, and each is drawn and hashed on every issue.
pub const LENGTH_MAX: usize = 256;

/// How many candidates are drawn before a password is put together from its rules instead. The
/// standard policy accepts a quarter of its candidates, so that it gets there with a probability
/// below 2^-400; only a policy that asks for the improbable ever does.
const TRIES_MAX: usize = 1000;

/// Says what passwords look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    length: usize,
    rules: Vec<Rule>,
    /// What passwords are made of: each character of the rules once.
    alphabet: Vec<char>,
}

/// Asks for some characters of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kind: any of these.
    pub charset: String,
    /// How many there must be.
    pub min_chars: usize,
}

/// No password can be drawn by such a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordPolicyError {
    /// The length is out of bounds.
    #[error("a password has from 1 to {LENGTH_MAX} characters, not {0}")]
    Length(usize),
    /// There is nothing to draw from, or a rule asks for characters of none.
    #[error("every rule of a password policy needs a `charset`, and there must be a rule")]
    NoCharset,
    /// The rules ask for more characters than there are.
    #[error("the rules ask for {asked} characters, but passwords have {length}")]
    TooMuchAsked {
        /// The sum of the rules.
        asked: usize,
        /// The length of a password.
        length: usize,
    },
}

impl PasswordPolicy {
    /// Makes a policy whose rules can be kept.
    pub fn new(length: usize, rules: Vec<Rule>) -> Result<Self, PasswordPolicyError> {
        if length == 0 || length > LENGTH_MAX {
            return Err(PasswordPolicyError::Length(length));
        }
        if rules.is_empty() || rules.iter().any(|rule| rule.charset.is_empty()) {
            return Err(PasswordPolicyError::NoCharset);
        }
        let asked = rules.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.min_chars));
        if asked > length {
            return Err(PasswordPolicyError::TooMuchAsked { asked, length });
        }
        let alphabet = alphabet(&rules);
        Ok(Self { length, rules, alphabet })
    }

    /// Returns how many characters a password has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Draws a password: each that keeps the rules is as likely as any other.
    ///
    /// Whole candidates are drawn and thrown away until one keeps the rules. To force the rules onto
    /// a candidate would make some passwords likelier than others, so that is only done once
    /// [`TRIES_MAX`] of them have failed.
    #[must_use]
    pub fn generate(&self, chance: &dyn Chance) -> SecretText {
        for _ in 0..TRIES_MAX {
            let candidate = self.candidate(chance);
            if self.accepts(candidate.reveal()) {
                return candidate;
            }
        }
        self.assembled(chance)
    }

    /// Tells whether a password keeps the rules.
    #[must_use]
    pub fn accepts(&self, password: &str) -> bool {
        let of = |rule: &Rule| password.chars().filter(|char| rule.charset.contains(*char)).count();
        password.chars().count() == self.length
            && self.rules.iter().all(|rule| of(rule) >= rule.min_chars)
    }

    fn candidate(&self, chance: &dyn Chance) -> SecretText {
        self.spell(std::iter::repeat_with(|| pick(&self.alphabet, chance)).take(self.length))
    }

    /// Draws what each rule asks for, fills up from everything, and shuffles.
    fn assembled(&self, chance: &dyn Chance) -> SecretText {
        let mut chars = Vec::with_capacity(self.length);
        for rule in &self.rules {
            let charset: Vec<char> = rule.charset.chars().collect();
            chars.extend(std::iter::repeat_with(|| pick(&charset, chance)).take(rule.min_chars));
        }
        chars.resize_with(self.length, || pick(&self.alphabet, chance));
        for unplaced in (2..=chars.len()).rev() {
            let last = unplaced.saturating_sub(1);
            chars.swap(last, below(unplaced, chance));
        }
        self.spell(chars.into_iter())
    }

    fn spell(&self, chars: impl Iterator<Item = char>) -> SecretText {
        // With room for the longest characters the text never moves, and leaves no copy behind.
        let mut text = String::with_capacity(self.length.saturating_mul(char::MAX.len_utf8()));
        text.extend(chars);
        SecretText::new(text)
    }
}

impl Default for PasswordPolicy {
    /// Returns Vault's standard policy: 20 of `a-zA-Z0-9-`, with one of each kind at least. That is
    /// 117 bits of chance.
    fn default() -> Self {
        let rules: Vec<_> =
            ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "-"]
                .into_iter()
                .map(|charset| Rule { charset: charset.to_owned(), min_chars: 1 })
                .collect();
        Self { length: 20, alphabet: alphabet(&rules), rules }
    }
}

fn alphabet(rules: &[Rule]) -> Vec<char> {
    let mut alphabet: Vec<char> = rules.iter().flat_map(|rule| rule.charset.chars()).collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    alphabet
}

fn pick(charset: &[char], chance: &dyn Chance) -> char {
    // No charset is empty: `new` refuses that.
    charset.get(below(charset.len(), chance)).copied().unwrap_or('-')
}

fn below(bound: usize, chance: &dyn Chance) -> usize {
    let drawn = chance.below(u32::try_from(bound).unwrap_or(u32::MAX));
    usize::try_from(drawn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::testing::Counting;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Draws like a fair die, the same on every run (by `SplitMix64`).
    #[derive(Debug, Default)]
    struct Fair(AtomicU64);

    impl Chance for Fair {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                *byte = (z >> 56) as u8;
            }
        }
    }

    fn rule(charset: &str, min_chars: usize) -> Rule {
        Rule { charset: charset.to_owned(), min_chars }
    }

    #[test]
    fn a_standard_password_has_twenty_characters_and_one_of_each_kind() {
        let policy = PasswordPolicy::default();
        assert_eq!(PasswordPolicy::new(20, policy.rules.clone()), Ok(policy.clone()));
        assert_eq!(policy.alphabet.len(), 63);
        let chance = Fair::default();
        for _ in 0..1000 {
            let password = policy.generate(&chance);
            let has = |kind: fn(char) -> bool| password.reveal().contains(kind);
            assert!(policy.accepts(password.reveal()));
            assert_eq!(password.reveal().len(), 20);
            assert!(has(|c| c.is_ascii_lowercase()) && has(|c| c.is_ascii_uppercase()));
            assert!(has(|c| c.is_ascii_digit()) && has(|c| c == '-'));
        }
    }

    #[test]
    fn every_password_that_keeps_the_rules_is_as_likely_as_any_other() {
        let policy = PasswordPolicy::new(3, vec![rule("ab", 1), rule("c", 1)]).unwrap();
        let chance = Fair::default();
        let mut counts = BTreeMap::<String, u32>::new();
        for _ in 0..18_000 {
            *counts.entry(policy.generate(&chance).reveal().to_owned()).or_default() += 1;
        }
        // 27 texts, less 8 without `c`, less `ccc`.
        assert_eq!(counts.len(), 18);
        // 1000 of each are expected, with a standard deviation of 31.
        assert!(counts.values().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn the_improbable_is_put_together_after_a_bounded_number_of_tries() {
        let improbable = vec![rule("0123456789", 0), rule("-", 30), rule("é", 1)];
        let policy = PasswordPolicy::new(32, improbable).unwrap();
        let password = policy.generate(&Fair::default());
        assert!(policy.accepts(password.reveal()), "{}", password.reveal());
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused() {
        for (length, rules, refusal) in [
            (0, vec![rule("a", 0)], PasswordPolicyError::Length(0)),
            (257, vec![rule("a", 0)], PasswordPolicyError::Length(257)),
            (8, vec![], PasswordPolicyError::NoCharset),
            (8, vec![rule("a", 0), rule("", 1)], PasswordPolicyError::NoCharset),
            (
                8,
                vec![rule("a", 5), rule("b", 4)],
                PasswordPolicyError::TooMuchAsked { asked: 9, length: 8 },
            ),
            (
                8,
                vec![rule("a", usize::MAX), rule("b", 4)],
                PasswordPolicyError::TooMuchAsked { asked: usize::MAX, length: 8 },
            ),
        ] {
            assert_eq!(PasswordPolicy::new(length, rules), Err(refusal));
        }
    }

    proptest! {
        #[test]
        fn every_policy_is_kept_or_refused(
            length in 0_usize..40,
            rules in prop::collection::vec((".{0,6}", 0_usize..6), 0..4),
        ) {
            let rules = rules.iter().map(|(charset, min)| rule(charset, *min)).collect();
            if let Ok(policy) = PasswordPolicy::new(length, rules) {
                prop_assert!(policy.accepts(policy.generate(&Fair::default()).reveal()));
                prop_assert!(policy.accepts(policy.generate(&Counting::default()).reveal()));
            }
        }
    }
}
