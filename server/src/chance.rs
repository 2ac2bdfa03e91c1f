//! The system's source of random bytes.

use leasehold_core::chance::Chance;
use std::cell::RefCell;
use zeroize::{Zeroize, Zeroizing};

/// How much is drawn from the generator at once. It mixes the processor's own chance into every draw, which takes a
/// microsecond however few bytes are asked for, and a password takes a hundred.
const POOL_BYTES: usize = 1024;

/// Bytes drawn and not yet handed out; what was handed out is zero.
struct Pool {
    bytes: Zeroizing<[u8; POOL_BYTES]>,
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> =
        RefCell::new(Pool { bytes: Zeroizing::new([0; POOL_BYTES]), used: POOL_BYTES });
}

/// Draws from the generator that is seeded by the system and that all our cryptography uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > POOL_BYTES / 4 {
            draw(bytes);
            return;
        }
        POOL.with_borrow_mut(|pool| pool.hand_out(bytes));
    }
}

impl Pool {
    fn hand_out(&mut self, to: &mut [u8]) {
        if self.used.saturating_add(to.len()) > POOL_BYTES {
            draw(&mut *self.bytes);
            self.used = 0;
        }
        let end = self.used.saturating_add(to.len());
        if let Some(from) = self.bytes.get_mut(self.used..end) {
            to.copy_from_slice(from);
            from.zeroize();
        }
        self.used = end;
    }
}

#[expect(
    clippy::expect_used,
    reason = "a server that went on without chance would lend passwords that can be guessed"
)]
fn draw(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the system gives no random bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_filled_whatever_its_length() {
        for length in (0..600).chain([POOL_BYTES, POOL_BYTES * 3]) {
            let mut bytes = vec![0; length];
            SystemChance.fill(&mut bytes);
            // Sixteen bytes that are all zero are as good as never drawn.
            assert!(
                bytes.chunks_exact(16).all(|chunk| chunk.iter().any(|byte| *byte != 0)),
                "{length}"
            );
        }
    }

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
