//! The system's source of random bytes.

use leasehold_core::chance::Chance;

/// Draws from the generator that is seeded by the system and that all our cryptography uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    #[expect(
        clippy::expect_used,
        reason = "a server that went on without chance would lend passwords that can be guessed"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system gives no random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_alike() {
        let mut draws = [[0_u8; 16]; 100];
        for draw in &mut draws {
            SystemChance.fill(draw);
        }
        let different: std::collections::BTreeSet<_> = draws.iter().collect();
        assert_eq!(different.len(), draws.len());
    }
}
