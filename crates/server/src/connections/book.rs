//! Which connections are open, where each stands, and which one goes when there are too many.

use super::descriptors::Descriptors;
use crate::Settings;
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

/// The fewest connections that are any use.
const FEWEST: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In total.
    pub total: usize,
    /// From one address.
    pub per_address: usize,
    /// That follow events.
    pub streams: usize,
    /// Requests that are worked on.
    pub requests: usize,
}

impl Caps {
    /// The caps of the settings, as far as the descriptors go. A quarter of the connections can always be closed for a
    /// new one, because neither a stream nor a request under way is on it.
    pub fn new(settings: &Settings, descriptors: Descriptors) -> Self {
        let total = settings.connections.min(descriptors.for_connections()).max(FEWEST);
        Self {
            total,
            per_address: settings.connections_per_address.clamp(1, total),
            streams: settings.streams.min(total / 2),
            requests: settings.requests.min(total / 4).max(1),
        }
    }
}

/// How long a connection may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the whole head of a request.
    pub(crate) header: Duration,
    /// Between two requests, or for its peer to take what it asked for.
    pub(crate) idle: Duration,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request was answered; none has come since.
    Idle,
    /// The head of a request is awaited or arrives.
    Head,
    /// The body of a request arrives.
    Body,
    /// The request is worked on, or its answer is being sent.
    Answer,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the peer has taken nothing of what is to be sent.
    stalled: Option<Instant>,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open {
    address: IpAddr,
    state: Mutex<State>,
    /// Cancelled when it is to be closed at once.
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

    /// The same, if it stands there.
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

    /// Why it has to go, if it has.
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

    /// Since when it has kept a place without a request to work on; `None` while there is one.
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
pub(super) struct Book {
    caps: Caps,
    waits: Waits,
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next: AtomicU64,
    /// A connection was closed.
    left: Notify,
    pub(super) early: Early,
}

/// Connections closed before they were done, since it was last reported.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub(super) evicted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) overdue: AtomicU64,
}

/// What is to be done about a new connection.
pub(super) enum Admission {
    /// It has a place.
    Seat(Seat),
    /// Another one was asked to make way; ask again when it has.
    Evicting,
    /// Every place is taken by a request under way.
    Full,
}

impl Book {
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

    /// A place for a connection from an address, or the way to one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Admission {
        let address = network(address);
        let mut open = self.open();
        let own = open.values().filter(|other| other.address == address).count();
        let crowd = match (own >= self.caps.per_address, open.len() >= self.caps.total) {
            (false, false) => return Admission::Seat(self.seat(&mut open, address)),
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

    fn seat(self: &Arc<Self>, open: &mut HashMap<u64, Arc<Open>>, address: IpAddr) -> Seat {
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
        Seat {
            id,
            open: own,
            book: self.clone(),
            _counted: telemetry::http::connection_opened(),
        }
    }

    /// Asks the connection that has waited longest to make way, whoever's it is.
    pub(super) fn make_way(&self) {
        if let Evicted::Now = evict(&self.open(), None) {
            self.early.evicted.fetch_add(1, Ordering::Relaxed);
            telemetry::http::connection_closed(Closed::Evicted);
        }
    }

    /// Waits until a connection is gone, but no longer than this.
    pub(super) async fn one_left(&self, at_most: Duration) {
        drop(tokio::time::timeout(at_most, self.left.notified()).await);
    }

    /// Closes what overstays.
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
    /// One was asked to go.
    Now,
    /// One that was asked before is not gone yet.
    UnderWay,
    /// None can go.
    None,
}

/// Of the address that has the most connections that wait, the one that has waited longest; of a given address only, if
/// it is the one that has too many.
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

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    pub(super) open: Arc<Open>,
    book: Arc<Book>,
    _counted: ConnectionOpen,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.book.open().remove(&self.id);
        self.book.left.notify_one();
    }
}

/// What counts as one address: of IPv6 a whole subnet is usually in one hand.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn book(total: usize, per_address: usize) -> Arc<Book> {
        let caps = Caps {
            total,
            per_address,
            streams: 1,
            requests: 1,
        };
        let waits = Waits {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        };
        Book::new(caps, waits)
    }

    fn seat(book: &Arc<Book>, address: IpAddr) -> Seat {
        match book.admit(address) {
            Admission::Seat(seat) => seat,
            Admission::Evicting | Admission::Full => panic!("there was room"),
        }
    }

    #[test]
    fn the_longest_waiting_connection_of_the_largest_crowd_makes_way() {
        let book = book(3, 3);
        let (other, first, second) = (seat(&book, OTHER), seat(&book, ONE), seat(&book, ONE));
        assert!(matches!(book.admit(OTHER), Admission::Evicting));
        assert!(first.open.close.is_cancelled(), "the oldest of the two");
        assert!(!other.open.close.is_cancelled() && !second.open.close.is_cancelled());
        // One is enough, however often it is asked until it is gone.
        assert!(matches!(book.admit(OTHER), Admission::Evicting));
        assert!(!second.open.close.is_cancelled());
        drop(first);
        seat(&book, OTHER);
    }

    #[test]
    fn an_address_over_its_cap_gives_of_its_own() {
        let book = book(9, 2);
        let other = seat(&book, OTHER);
        let own = [seat(&book, ONE), seat(&book, ONE)];
        assert!(matches!(book.admit(ONE), Admission::Evicting));
        assert!(own[0].open.close.is_cancelled() && !other.open.close.is_cancelled());
    }

    #[test]
    fn a_request_under_way_is_never_evicted() {
        let book = book(1, 1);
        let only = seat(&book, ONE);
        only.open.enter(Phase::Answer);
        assert!(matches!(book.admit(ONE), Admission::Full));
        only.open.enter(Phase::Body);
        assert!(matches!(book.admit(ONE), Admission::Evicting));
    }

    #[test]
    fn what_overstays_is_known_by_its_phase() {
        let book = book(1, 1);
        let only = seat(&book, ONE);
        let after = |seconds| {
            only.open
                .overdue(book.waits, Instant::now() + Duration::from_secs(seconds))
        };
        assert_eq!((after(9), after(11)), (None, Some(Closed::HeaderTimeout)));
        only.open.enter(Phase::Answer);
        assert_eq!(after(9_999), None);
        only.open.stalled(true);
        assert_eq!(after(61), Some(Closed::Stalled));
        only.open.stalled(false);
        only.open.leave(Phase::Answer, Phase::Idle);
        assert_eq!((after(59), after(61)), (None, Some(Closed::IdleTimeout)));
    }

    #[test]
    fn caps_leave_descriptors_for_everything_else() {
        let settings = Settings::default();
        let of = |soft| Caps::new(&settings, Descriptors { soft, hard: soft });
        assert_eq!(of(1_024).total, 512);
        assert_eq!(of(4_096).total, settings.connections);
        for soft in [20, 256, 1_024, 4_096] {
            let caps = of(soft);
            assert!(caps.streams + caps.requests < caps.total, "{soft}: {caps:?}");
        }
    }

    #[test]
    fn a_subnet_of_ipv6_counts_as_one_address() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("::ffff:10.0.0.1"), ONE);
        assert_eq!(parse("::1"), "::1".parse::<IpAddr>().unwrap());
    }
}
