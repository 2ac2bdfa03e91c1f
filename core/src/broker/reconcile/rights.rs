//! Finds those among credentials of one role that may do other things than the rest.

use crate::ids::LeaseId;
use std::collections::BTreeMap;

/// Fewer credentials tell nothing about what is usual.
const ALIKE_MIN: usize = 3;

/// Returns the credentials that differ from what was rehearsed, or else from most of their role's, each with what it has
/// more (`+`) and less (`-`).
pub(super) fn unusual(
    role: &[(LeaseId, &[String])],
    rehearsed: Option<&[String]>,
) -> Vec<(LeaseId, Vec<String>)> {
    let Some(usual) = rehearsed.or_else(|| usual(role)) else { return Vec::new() };
    let others = role.iter().filter(|(_, rights)| *rights != usual);
    others.map(|(id, rights)| (*id, differences(usual, rights))).collect()
}

/// Returns what more than half of a role's credentials may do, if they are enough to tell.
fn usual<'a>(role: &[(LeaseId, &'a [String])]) -> Option<&'a [String]> {
    let mut counts = BTreeMap::<&[String], usize>::new();
    for (_, rights) in role {
        let count = counts.entry(rights).or_default();
        *count = count.saturating_add(1);
    }
    let (usual, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let is_most = count.saturating_mul(2) > role.len();
    (count >= ALIKE_MIN && is_most).then_some(usual)
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
        assert_eq!(unusual(&role, None), [(id(3), wanted)]);
    }

    #[test]
    fn what_was_rehearsed_is_what_is_usual() {
        let (usual, other) = (["reads".to_owned()], ["superuser".to_owned()]);
        let role = [(id(1), &other[..]), (id(2), &other), (id(3), &other), (id(4), &usual)];
        let found: Vec<_> = unusual(&role, Some(&usual)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found, [id(1), id(2), id(3)]);
    }

    #[test]
    fn too_few_or_too_mixed_credentials_tell_nothing() {
        let (one, other) = (["a".to_owned()], ["b".to_owned()]);
        assert_eq!(unusual(&[], None), []);
        assert_eq!(unusual(&[(id(1), &one[..]), (id(2), &one), (id(3), &other)], None), []);
        let halves = [1, 2, 3, 4, 5, 6]
            .map(|byte| (id(byte), if byte % 2 == 0 { &one[..] } else { &other[..] }));
        assert_eq!(unusual(&halves, None), []);
    }
}
