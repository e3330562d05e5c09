//! The process says that it is alive, from a thread and a connection of its own: work of any length keeps its
//! lease, and a busy pool or runtime never makes a living process look dead.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};
use store::{Holder, Store};
use tokio_util::sync::CancellationToken;

/// A part of the lease that must be left when work is claimed, so that nothing begins on a lease about to end.
const MARGIN: Duration = Duration::from_secs(2);

/// The thread that renews the lease.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The boot-time clock, in milliseconds, up to which the lease is known to hold.
    holds_until_ms: AtomicI64,
    draining: AtomicBool,
    /// Another life of this process has begun: nothing may be written any more.
    replaced: AtomicBool,
    stop: CancellationToken,
}

impl Heartbeat {
    /// Starts the thread. The lease was taken just now.
    pub(crate) fn start(
        store: &Store,
        holder: Holder,
        every: Duration,
        lease: Duration,
    ) -> Result<Self, std::io::Error> {
        let shared = Arc::new(Shared {
            holds_until_ms: AtomicI64::new(boot_clock_ms() + lease.as_millis() as i64),
            draining: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            stop: CancellationToken::new(),
        });
        let (own, store) = (shared.clone(), store.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || runtime.block_on(beat(own, store, holder, every, lease)))?;
        Ok(Self { shared })
    }

    /// For who holds nothing: there is no lease, so nothing may be claimed, and no thread.
    pub(crate) fn none() -> Self {
        Self {
            shared: Arc::new(Shared {
                holds_until_ms: AtomicI64::new(0),
                draining: AtomicBool::new(false),
                replaced: AtomicBool::new(false),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// Whether the lease surely holds for a while: then work may be claimed.
    pub(crate) fn holds(&self) -> bool {
        let left = self.shared.holds_until_ms.load(Ordering::Relaxed) - boot_clock_ms();
        !self.shared.replaced.load(Ordering::Relaxed) && left > MARGIN.as_millis() as i64
    }

    /// Says from now on that the process is being stopped.
    pub(crate) fn draining(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
    }
}

async fn beat(shared: Arc<Shared>, store: Store, holder: Holder, every: Duration, lease: Duration) {
    let mut alone = store.alone();
    while shared
        .stop
        .run_until_cancelled(tokio::time::sleep(every))
        .await
        .is_some()
    {
        // From before the question, so that a slow answer never makes the lease look longer than it is.
        let asked_ms = boot_clock_ms();
        let said = alone.heartbeat(holder, lease, shared.draining.load(Ordering::Relaxed));
        // A connection to a machine that went silent would never answer: the next word goes over another.
        let Ok(said) = tokio::time::timeout(lease, said).await else {
            tracing::warn!("the heartbeat got no answer; it is tried again");
            alone = store.alone();
            continue;
        };
        match said {
            Ok(true) => shared
                .holds_until_ms
                .store(asked_ms + lease.as_millis() as i64, Ordering::Relaxed),
            Ok(false) => {
                tracing::error!(
                    "another process has taken over this data directory's name; nothing more is claimed here"
                );
                shared.replaced.store(true, Ordering::Relaxed);
                return;
            }
            Err(error) => tracing::warn!(%error, "the heartbeat could not be recorded; it is tried again"),
        }
    }
}

/// Milliseconds since the machine started, its sleep included: a laptop that slept past its lease knows it.
fn boot_clock_ms() -> i64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}
