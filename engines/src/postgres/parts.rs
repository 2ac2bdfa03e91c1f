//! Does the same to many at once, so that one that cannot be done does not hold up the others.

use super::failure::Failure;
use super::link::Link;
use super::message::Deadline;
use std::time::Duration;

/// How many are put into one transaction. Each role dropped holds a lock until the commit, and the
/// server's lock table has room for about 6,400 with its default settings.
const TOGETHER_MAX: usize = 500;

/// Sends one message for all; where that is refused, one for each half, and so on down to the one at
/// fault. Right for what may be done twice. Returns what failed, and why.
pub(super) async fn in_parts<T>(
    link: &mut Link,
    all: Vec<T>,
    lock_wait: Duration,
    deadline: Deadline,
    sql: impl Fn(&[T]) -> String,
) -> (Vec<T>, Vec<(T, Failure)>) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let mut parts = vec![all];
    while let Some(mut part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        if part.len() > TOGETHER_MAX {
            let rest = part.split_off(TOGETHER_MAX);
            parts.push(rest);
        }
        let message = format!("{}{}", deadline.limits(lock_wait), sql(&part));
        let failure = if deadline.is_over() {
            Failure::Expired
        } else {
            match link.say(message, deadline.until).await {
                Ok(_) => {
                    done.append(&mut part);
                    continue;
                }
                Err(failure) => failure,
            }
        };
        if part.len() > 1 && failure.leaves_the_connection() && !failure.is_late() {
            let half = part.len().div_ceil(2);
            let rest = part.split_off(half);
            parts.push(rest);
            parts.push(part);
        } else {
            failed.extend(part.into_iter().map(|member| (member, failure.clone())));
        }
    }
    (done, failed)
}
