//! Finds those among credentials of one role that may do other things than the rest.

use crate::ids::LeaseId;
use std::collections::BTreeMap;

/// Fewer credentials tell nothing about what is usual.
const ALIKE_MIN: usize = 3;

/// Returns the credentials that differ from most of their role's, each with what it has more (`+`) and less (`-`).
pub(super) fn unusual(role: &[(LeaseId, &[String])]) -> Vec<(LeaseId, Vec<String>)> {
    let mut counts = BTreeMap::<&[String], usize>::new();
    for (_, rights) in role {
        let count = counts.entry(rights).or_default();
        *count = count.saturating_add(1);
    }
    let most = counts.iter().max_by_key(|(_, count)| **count);
    let Some((usual, count)) = most else { return Vec::new() };
    let is_most = count.saturating_mul(2) > role.len();
    if *count < ALIKE_MIN || !is_most {
        return Vec::new();
    }
    let others = role.iter().filter(|(_, rights)| rights != usual);
    others.map(|(id, rights)| (*id, differences(usual, rights))).collect()
}

fn differences(usual: &[String], rights: &[String]) -> Vec<String> {
    let more = rights.iter().filter(|right| !usual.contains(right));
    let less = usual.iter().filter(|right| !rights.contains(right));
    let more = more.map(|right| format!("+ {right}"));
    more.chain(less.map(|right| format!("- {right}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> LeaseId {
        LeaseId::from_bytes([byte; 16])
    }

    #[test]
    fn the_one_that_differs_from_most_is_told_with_its_difference() {
        let (usual, other) = (["reads".to_owned()], ["superuser".to_owned()]);
        let role = [(id(1), &usual[..]), (id(2), &usual), (id(3), &other), (id(4), &usual)];
        let wanted = vec!["+ superuser".to_owned(), "- reads".to_owned()];
        assert_eq!(unusual(&role), [(id(3), wanted)]);
    }

    #[test]
    fn too_few_or_too_mixed_credentials_tell_nothing() {
        let (one, other) = (["a".to_owned()], ["b".to_owned()]);
        assert_eq!(unusual(&[]), []);
        assert_eq!(unusual(&[(id(1), &one[..]), (id(2), &one), (id(3), &other)]), []);
        let halves = [1, 2, 3, 4, 5, 6]
            .map(|byte| (id(byte), if byte % 2 == 0 { &one[..] } else { &other[..] }));
        assert_eq!(unusual(&halves), []);
    }
}
