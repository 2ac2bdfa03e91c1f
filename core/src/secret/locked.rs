//! Memory that holds keys: pages of their own, which the system is asked never to swap out.
//!
//! Where all memory of the process is locked this adds nothing. Where that is not allowed, every process may still lock
//! a little, and the keys that live as long as the store is open fit into it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr;
use zeroize::Zeroizing;

/// A key that stays where it was put until it is dropped, in pages that nothing else is in.
///
/// Only what is in `T` itself is locked, and nothing that it points to.
pub struct Locked<T> {
    page: Box<Page<T>>,
    is_locked: bool,
}

/// The bytes of a key.
pub type LockedKey = Locked<Zeroizing<[u8; 32]>>;

/// The smallest page of the systems that Leasehold runs on; where pages are larger, neighbors are locked as well.
#[repr(align(4096))]
struct Page<T>(T);

impl<T> Locked<T> {
    /// Puts a key into pages of its own and locks them. If the system refuses, the key is kept all the same:
    /// [`Locked::is_locked`] tells.
    ///
    /// The pages stay locked when they are given back. To unlock them could open a hole in a process all of whose
    /// memory is locked, and what is dropped is soon taken up by the next key, or goes back to the system.
    #[must_use]
    pub fn new(key: T) -> Self {
        let page = Box::new(Page(key));
        let lock = region::lock(ptr::from_ref(&*page), size_of::<Page<T>>());
        let is_locked = lock.is_ok();
        std::mem::forget(lock);
        Self { page, is_locked }
    }

    /// Whether the system has locked the pages.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.page.0
    }
}

impl<T> DerefMut for Locked<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.page.0
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_pages_to_itself_and_shows_nowhere() {
        let keys = [Locked::new([7_u8; 32]), Locked::new([8_u8; 32])];
        for (key, byte) in keys.iter().zip([7, 8]) {
            assert_eq!((**key, ptr::from_ref(&**key).addr() % 4096), ([byte; 32], 0));
            assert_eq!(format!("{key:?}"), "Locked(..)");
        }
    }
}
