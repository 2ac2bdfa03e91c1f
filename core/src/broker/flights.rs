//! What this process is in the middle of, by lease.

use crate::ids::LeaseId;
use futures_channel::oneshot;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Leases that something is being done to, and who waits for it to be over.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<LeaseId, Vec<oneshot::Sender<()>>>>>);

/// Holds a lease in flight; it lands when this is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Flights,
    lease: LeaseId,
}

impl Flights {
    /// A flight begins, unless the lease is in one.
    pub(super) fn begin(&self, lease: LeaseId) -> Option<Flight> {
        let mut flights = self.0.lock();
        if flights.contains_key(&lease) {
            return None;
        }
        flights.insert(lease, Vec::new());
        Some(Flight { flights: self.clone(), lease })
    }

    /// Waits until the lease is in no flight, and tells whether it was in one.
    pub(super) async fn landed(&self, lease: LeaseId) -> bool {
        let landing = {
            let mut flights = self.0.lock();
            let Some(waiting) = flights.get_mut(&lease) else { return false };
            let (tell, told) = oneshot::channel();
            waiting.push(tell);
            told
        };
        // An error means that the flight was dropped without a word: it is over as well.
        let _ = landing.await;
        true
    }
}

impl Flight {
    /// Tells whether anybody waits for it to be over.
    pub(super) fn is_awaited(&self) -> bool {
        self.flights.0.lock().get(&self.lease).is_some_and(|waiting| !waiting.is_empty())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        for tell in self.flights.0.lock().remove(&self.lease).unwrap_or_default() {
            let _ = tell.send(());
        }
    }
}
