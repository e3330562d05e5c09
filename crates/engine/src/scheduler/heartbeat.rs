//! Renews the process's lease from its own thread and connection, so that neither long work nor a busy pool or runtime
//! lets it expire.

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

/// The time that must be left on the lease when work is claimed, so that nothing starts on an expiring lease.
const MARGIN: Duration = Duration::from_secs(2);

/// The thread that renews the lease.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// When the lease ends, on the boot-time clock, in milliseconds.
    holds_until_ms: AtomicI64,
    draining: AtomicBool,
    /// The process was registered again by another start: this one may write nothing any more.
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

    /// For a process that claims nothing: no lease and no thread.
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

    /// Whether the lease holds long enough to claim work.
    pub(crate) fn holds(&self) -> bool {
        let left = self.shared.holds_until_ms.load(Ordering::Relaxed) - boot_clock_ms();
        !self.shared.replaced.load(Ordering::Relaxed) && left > MARGIN.as_millis() as i64
    }

    /// Records with the next heartbeat that the process is stopping.
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
        // Read before the request, so that a slow answer never makes the lease look longer than it is.
        let asked_ms = boot_clock_ms();
        let said = alone.heartbeat(holder, lease, shared.draining.load(Ordering::Relaxed));
        // A connection to a machine that went silent never answers: the next heartbeat uses a new one.
        let Ok(said) = tokio::time::timeout(lease, said).await else {
            tracing::warn!("The heartbeat got no answer; retrying");
            alone = store.alone();
            continue;
        };
        match said {
            Ok(true) => shared
                .holds_until_ms
                .store(asked_ms + lease.as_millis() as i64, Ordering::Relaxed),
            Ok(false) => {
                tracing::error!("Another process was started on this data directory; this one claims nothing more");
                shared.replaced.store(true, Ordering::Relaxed);
                return;
            }
            Err(error) => tracing::warn!(%error, "Could not record the heartbeat; retrying"),
        }
    }
}

/// Milliseconds since the machine started, including sleep: a laptop that slept past its lease notices.
fn boot_clock_ms() -> i64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}
