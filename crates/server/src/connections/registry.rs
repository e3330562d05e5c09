//! The registry of open connections: their phases, and which one to close when there are too many.

use super::caps::{Caps, Waits};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use telemetry::http::{Closed, ConnectionOpen};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for the next request.
    Idle,
    /// The header of a request arrives.
    Head,
    /// The body of a request arrives.
    Body,
    /// The request is handled, or its response is being sent.
    Answer,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client has read nothing of the response.
    stalled: Option<Instant>,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    address: IpAddr,
    state: Mutex<State>,
    /// Cancelled to close it at once.
    pub(super) close: CancellationToken,
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// Enters a phase, if it is in another given one.
    pub(super) fn leave(&self, from: Phase, to: Phase) {
        let mut state = self.state();
        if state.phase == from {
            state.phase = to;
            state.since = Instant::now();
        }
    }

    pub(super) fn stalled(&self, stalled: bool) {
        let mut state = self.state();
        state.stalled = match stalled {
            true => state.stalled.or_else(|| Some(Instant::now())),
            false => None,
        };
    }

    /// The time limit that it exceeds, if any.
    fn overdue(&self, waits: Waits, now: Instant) -> Option<Closed> {
        let state = self.state();
        let is_past = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        if state.stalled.is_some_and(|since| is_past(since, waits.idle)) {
            return Some(Closed::Stalled);
        }
        match state.phase {
            Phase::Idle if is_past(state.since, waits.idle) => Some(Closed::IdleTimeout),
            Phase::Head if is_past(state.since, waits.header) => Some(Closed::HeaderTimeout),
            Phase::Idle | Phase::Head | Phase::Body | Phase::Answer => None,
        }
    }

    /// Since when it has waited for a request; `None` while one is handled.
    fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            _ if self.close.is_cancelled() => None,
            Phase::Idle | Phase::Head | Phase::Body => Some(state.since),
            Phase::Answer => None,
        }
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Registry {
    caps: Caps,
    waits: Waits,
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next: AtomicU64,
    /// Notified when a connection is closed.
    left: Notify,
    pub(super) early: Early,
}

/// Counts of connections that were closed early, since the last report.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) evicted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) overdue: AtomicU64,
}

/// What to do with a new connection.
pub(super) enum Admission {
    /// It has a slot.
    Slot(Slot),
    /// Another one is being closed for it; try again when that is gone.
    Evicting,
    /// Every slot has a request in progress.
    Full,
}

impl Registry {
    pub(super) fn new(caps: Caps, waits: Waits) -> Arc<Self> {
        Arc::new(Self {
            caps,
            waits,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            left: Notify::new(),
            early: Early::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a slot for a connection from an address.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let address = network(address);
        let mut open = self.open();
        let own = open.values().filter(|other| other.address == address).count();
        let crowd = match (own >= self.caps.per_address, open.len() >= self.caps.total) {
            (false, false) => return Admission::Slot(self.slot(&mut open, address)),
            (true, _) => Some(address),
            (false, true) => None,
        };
        match evict(&open, crowd) {
            Evicted::Now => {
                self.early.evicted.fetch_add(1, Ordering::Relaxed);
                telemetry::http::connection_closed(Closed::Evicted);
                Admission::Evicting
            }
            Evicted::UnderWay => Admission::Evicting,
            Evicted::None => Admission::Full,
        }
    }

    fn slot(self: &Arc<Self>, open: &mut HashMap<u64, Arc<Open>>, address: IpAddr) -> Slot {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let own = Arc::new(Open {
            address,
            state: Mutex::new(State {
                phase: Phase::Head,
                since: Instant::now(),
                stalled: None,
            }),
            close: CancellationToken::new(),
        });
        open.insert(id, own.clone());
        Slot {
            id,
            open: own,
            registry: self.clone(),
            _counted: telemetry::http::connection_opened(),
        }
    }

    /// Closes the connection that has waited longest, of any address.
    pub(super) fn evict_longest_waiting(&self) {
        if let Evicted::Now = evict(&self.open(), None) {
            self.early.evicted.fetch_add(1, Ordering::Relaxed);
            telemetry::http::connection_closed(Closed::Evicted);
        }
    }

    /// Waits until a connection is closed, at most for a time.
    pub(super) async fn wait_for_close(&self, at_most: Duration) {
        drop(tokio::time::timeout(at_most, self.left.notified()).await);
    }

    /// Closes the connections that exceed a time limit.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let open = self.open();
        for connection in open.values().filter(|open| !open.close.is_cancelled()) {
            if let Some(reason) = connection.overdue(self.waits, now) {
                connection.close.cancel();
                self.early.overdue.fetch_add(1, Ordering::Relaxed);
                telemetry::http::connection_closed(reason);
            }
        }
    }
}

enum Evicted {
    /// One is being closed.
    Now,
    /// An earlier one is not gone yet.
    UnderWay,
    /// None can be closed.
    None,
}

/// Closes the connection that has waited longest, of the address with the most connections, or of the given address.
fn evict(open: &HashMap<u64, Arc<Open>>, of: Option<IpAddr>) -> Evicted {
    let concerned = || open.values().filter(|other| of.is_none_or(|own| own == other.address));
    if concerned().any(|other| other.close.is_cancelled()) {
        return Evicted::UnderWay;
    }
    let mut counts: HashMap<IpAddr, usize> = HashMap::new();
    for other in concerned() {
        *counts.entry(other.address).or_default() += 1;
    }
    let waiting = concerned().filter_map(|other| Some((other.waits_since()?, other)));
    let oldest = waiting.min_by_key(|(since, other)| (std::cmp::Reverse(counts[&other.address]), *since));
    match oldest {
        Some((_, connection)) => {
            connection.close.cancel();
            Evicted::Now
        }
        None => Evicted::None,
    }
}

/// The slot of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    pub(super) open: Arc<Open>,
    registry: Arc<Registry>,
    _counted: ConnectionOpen,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.registry.open().remove(&self.id);
        self.registry.left.notify_one();
    }
}

/// The unit of the limit for one address: for IPv6, the /64 subnet.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests;
