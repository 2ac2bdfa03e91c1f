//! What this process is in the middle of, by lease.

use crate::ids::LeaseId;
use futures_channel::oneshot;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Leases that something is being done to, and who waits for it to be over.
#[derive(Clone, Debug, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<LeaseId, Interest>>>);

/// Who else wants something of a lease in flight.
#[derive(Debug, Default)]
struct Interest {
    waiting: Vec<oneshot::Sender<()>>,
    /// Somebody has decided that what comes of the flight is to be undone.
    unwanted: bool,
}

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
        flights.insert(lease, Interest::default());
        Some(Flight { flights: self.clone(), lease })
    }

    /// A flight begins once no other of this lease goes on.
    pub(super) async fn begin_next(&self, lease: LeaseId) -> Flight {
        loop {
            if let Some(flight) = self.begin(lease) {
                return flight;
            }
            self.landed(lease).await;
        }
    }

    /// Whether the lease is in a flight.
    pub(super) fn is_flying(&self, lease: LeaseId) -> bool {
        self.0.lock().contains_key(&lease)
    }

    /// Returns the leases that are in flights.
    pub(super) fn all(&self) -> HashSet<LeaseId> {
        self.0.lock().keys().copied().collect()
    }

    /// Whoever holds the flight learns that what comes of it is to be undone.
    pub(super) fn disown(&self, lease: LeaseId) {
        if let Some(interest) = self.0.lock().get_mut(&lease) {
            interest.unwanted = true;
        }
    }

    /// Waits until the lease is in no flight.
    pub(super) async fn landed(&self, lease: LeaseId) {
        let landing = {
            let mut flights = self.0.lock();
            let Some(interest) = flights.get_mut(&lease) else { return };
            let (tell, told) = oneshot::channel();
            interest.waiting.push(tell);
            told
        };
        // An error means that the flight was dropped without a word: it is over as well.
        let _ = landing.await;
    }
}

impl Flight {
    /// Whether what comes of it is to be undone.
    pub(super) fn is_unwanted(&self) -> bool {
        self.flights.0.lock().get(&self.lease).is_some_and(|interest| interest.unwanted)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let interest = self.flights.0.lock().remove(&self.lease).unwrap_or_default();
        for tell in interest.waiting {
            let _ = tell.send(());
        }
    }
}
