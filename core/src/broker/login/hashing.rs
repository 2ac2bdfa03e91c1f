//! Checks passwords beside everything else: few at once, each network in its turn.

use super::super::Broker;
use crate::access::hash_queue::{Full, HashQueue};
use crate::address::Network;
use crate::metrics::Counter;
use futures_channel::oneshot;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

type Work = Box<dyn FnOnce() + Send>;

/// Passwords that are being hashed, and those that wait for it.
#[derive(Default)]
pub(in crate::broker) struct Hashing {
    queue: Mutex<HashQueue<Work>>,
    done: Counter,
}

/// One that is being hashed; the next one begins when this is dropped, however that comes about.
struct Running(Arc<Broker>);

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashing(..)")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.hashing.done.one();
        self.0.hashing.queue.lock().done();
        self.0.start_hashing();
    }
}

impl Broker {
    /// Hashes a password for a network, when it is its turn.
    pub(in crate::broker) async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        from: Option<Network>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Full> {
        let (told, answer) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever has asked waits for it.
            let _ = told.send(work());
        });
        self.hashing.queue.lock().push(from, work, self.clock.now())?;
        self.start_hashing();
        answer.await.map_err(|oneshot::Canceled| Full)
    }

    fn start_hashing(self: &Arc<Self>) {
        loop {
            let next = self.hashing.queue.lock().start();
            let Some(work) = next else { return };
            let running = Running(Arc::clone(self));
            self.tasks.compute(Box::new(move || {
                work();
                drop(running);
            }));
        }
    }

    /// Remembers that somebody has proven from a network who they are: it has places of its own in the queue.
    pub(in crate::broker) fn know_network(&self, from: Option<Network>) {
        if let Some(from) = from {
            self.hashing.queue.lock().know(from, self.clock.now());
        }
    }

    /// Returns how many passwords were hashed since the start.
    pub fn passwords_hashed(&self) -> u64 {
        self.hashing.done.value()
    }
}
