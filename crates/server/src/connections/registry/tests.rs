//! Facts about which connection is closed for a new one.

use super::*;
use crate::{Settings, connections::descriptors::Descriptors};

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn registry(total: usize, per_address: usize) -> Arc<Registry> {
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
    Registry::new(caps, waits)
}

fn slot(registry: &Arc<Registry>, address: IpAddr) -> Slot {
    match registry.admit(address) {
        Admission::Slot(slot) => slot,
        Admission::Evicting | Admission::Full => panic!("a slot should be free"),
    }
}

#[test]
fn longest_waiting_connection_of_busiest_address_is_closed() {
    let registry = registry(3, 3);
    let (other, first, second) = (slot(&registry, OTHER), slot(&registry, ONE), slot(&registry, ONE));
    assert!(matches!(registry.admit(OTHER), Admission::Evicting));
    assert!(first.open.close.is_cancelled(), "the oldest of the two");
    assert!(!other.open.close.is_cancelled() && !second.open.close.is_cancelled());
    // Only one is closed, however often a slot is requested before it is gone.
    assert!(matches!(registry.admit(OTHER), Admission::Evicting));
    assert!(!second.open.close.is_cancelled());
    drop(first);
    slot(&registry, OTHER);
}

#[test]
fn address_over_its_limit_loses_its_own_connection() {
    let registry = registry(9, 2);
    let other = slot(&registry, OTHER);
    let own = [slot(&registry, ONE), slot(&registry, ONE)];
    assert!(matches!(registry.admit(ONE), Admission::Evicting));
    assert!(own[0].open.close.is_cancelled() && !other.open.close.is_cancelled());
}

#[test]
fn connection_with_running_request_is_never_closed() {
    let registry = registry(1, 1);
    let only = slot(&registry, ONE);
    only.open.enter(Phase::Answer);
    assert!(matches!(registry.admit(ONE), Admission::Full));
    only.open.enter(Phase::Body);
    assert!(matches!(registry.admit(ONE), Admission::Evicting));
}

#[test]
fn time_limit_depends_on_phase() {
    let registry = registry(1, 1);
    let only = slot(&registry, ONE);
    let after = |seconds| {
        only.open
            .overdue(registry.waits, Instant::now() + Duration::from_secs(seconds))
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
fn limits_leave_descriptors_for_other_uses() {
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
fn ipv6_subnet_counts_as_one_address() {
    let parse = |text: &str| network(text.parse().unwrap());
    assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
    assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
    assert_eq!(parse("::ffff:10.0.0.1"), ONE);
    assert_eq!(parse("::1"), "::1".parse::<IpAddr>().unwrap());
}
