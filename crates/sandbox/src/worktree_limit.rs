//! Limits what a job adds to its writable directories: bytes, files, and the free space of their disk.
//!
//! A worktree is measured when it is first used, so a large repository does not count against a task; everything added
//! later counts, whichever job adds it. A directory that outlives its tasks, such as a build cache, is limited per job;
//! retention limits it in the long run. A job that only shrinks a directory is never stopped.
//!
//! Walks take a bounded share of the time: between two walks of a tree passes a multiple of a walk's duration, and less
//! while the disk fills. A burst of writes beyond the limit is found at the latest when the command, or the next one, has
//! ended.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::limit::{Limit, Location};
use crate::walk::{self, LEVELS, Unreadable, Usage};
use crate::{Access, Job, SandboxError, Settings};

/// How often the disk's free space is read, and the shortest pause between two walks.
const TICK: Duration = Duration::from_millis(100);

/// The pause between two walks of a tree, as a multiple of a walk's duration.
const REST: u32 = 20;

/// The same while the disk loses more than the tree may still take.
const SHORT_REST: u32 = 2;

/// Concurrent walks of this process: each holds a descriptor per level of its tree.
static WALKS: Semaphore = Semaphore::const_new(2);

/// How many trees are remembered; beyond that, the least recently used one is measured again.
const REMEMBERED: usize = 4096;

/// A job that added less than this is not blamed for a full disk.
const BLAMELESS_BYTES: u64 = 1 << 20;

/// Measurements of the directories that jobs wrote to.
#[derive(Debug, Default)]
pub(crate) struct Trees(Mutex<HashMap<PathBuf, Known>>);

/// Measurements of one tree.
#[derive(Clone, Copy, Debug)]
struct Known {
    identity: Identity,
    first: Usage,
    last: Usage,
    /// The duration of the last walk.
    cost: Duration,
    /// How long commands ran since the last walk.
    unwatched: Duration,
    used: Instant,
}

/// Distinguishes a tree from a later one at the same path, which may have the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Identity {
    fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            created: metadata.created().ok(),
        })
    }
}

impl Trees {
    fn get(&self, path: &Path, identity: Identity) -> Option<Known> {
        let trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trees.get(path).filter(|known| known.identity == identity).copied()
    }

    fn put(&self, path: &Path, known: Known) {
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if trees.len() >= REMEMBERED && !trees.contains_key(path) {
            let oldest = trees.iter().min_by_key(|(_, known)| known.used);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                trees.remove(&oldest);
            }
        }
        trees.insert(path.to_owned(), known);
    }
}

/// Watches the writable directories of one job.
pub(crate) struct Watch {
    trees: Arc<Trees>,
    watched: Vec<Tree>,
    floor_bytes: u64,
    started: Instant,
    stop: Arc<AtomicBool>,
}

/// One directory a job may write.
struct Tree {
    path: PathBuf,
    location: Location,
    known: Known,
    /// The size it may reach.
    bound: Usage,
    allowance: Usage,
    /// Its size when the job started.
    before: Usage,
    walked: Instant,
    /// Free bytes and files of its disk at the last walk.
    free: Free,
    /// Free bytes and files of its disk when the job started.
    free_before: Free,
}

/// Free bytes and files of a disk.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: u64,
    files: u64,
}

impl Free {
    fn of(path: &Path) -> Self {
        let (bytes, files) = rustix::fs::statvfs(path).map_or((u64::MAX, u64::MAX), |disk| {
            // File systems without a fixed number of inodes report none at all.
            let files = if disk.f_files == 0 { u64::MAX } else { disk.f_favail };
            (disk.f_bavail.saturating_mul(disk.f_frsize), files)
        });
        Self { bytes, files }
    }

    /// Whether the disk lost more than this since then.
    fn lost_more_than(self, since: Self, usage: Usage) -> bool {
        since.bytes.saturating_sub(self.bytes) > usage.bytes || since.files.saturating_sub(self.files) > usage.files
    }
}

impl Watch {
    /// Measures the writable directories of a job that are not measured yet.
    pub(crate) async fn start(trees: &Arc<Trees>, settings: &Settings, job: &Job) -> Result<Self, SandboxError> {
        let mut watch = Self {
            trees: Arc::clone(trees),
            watched: Vec::new(),
            floor_bytes: settings.disk_floor_bytes,
            started: Instant::now(),
            stop: Arc::default(),
        };
        let worktree = (job.worktree_access == Access::ReadWrite).then_some((&job.worktree, Location::Worktree));
        let shared = job.extra_read_write.iter().map(|path| (path, Location::Shared));
        for (path, location) in worktree.into_iter().chain(shared) {
            let tree = watch.tree(path, location, settings).await;
            let tree = tree.map_err(SandboxError::system("measuring what the command may write"))?;
            // Stored at once: if the job is dropped, its files must not count as the next job's starting point.
            trees.put(path, tree.known);
            watch.watched.push(tree);
        }
        watch.started = Instant::now();
        Ok(watch)
    }

    async fn tree(&self, path: &Path, location: Location, settings: &Settings) -> std::io::Result<Tree> {
        let identity = Identity::of(path)?;
        let known = match self.trees.get(path, identity) {
            Some(known) => known,
            None => {
                let unbounded = Usage {
                    bytes: u64::MAX,
                    files: u64::MAX,
                    ..Usage::default()
                };
                let (first, cost) = self.walk(path, unbounded, Unreadable::Leave).await?;
                Known {
                    identity,
                    first,
                    last: first,
                    cost,
                    unwatched: Duration::ZERO,
                    used: Instant::now(),
                }
            }
        };
        let base = match location {
            Location::Worktree => known.first,
            Location::Shared => known.last,
        };
        let allowance = Usage {
            bytes: settings.worktree_bytes,
            files: settings.worktree_files,
            ..Usage::default()
        };
        let free = Free::of(path);
        Ok(Tree {
            path: path.to_owned(),
            location,
            bound: base.with(allowance),
            allowance,
            before: known.last,
            known,
            walked: Instant::now(),
            free,
            free_before: free,
        })
    }

    /// Resolves when the job has to be stopped.
    pub(crate) async fn reached(&mut self) -> Limit {
        loop {
            sleep(TICK).await;
            for at in 0..self.watched.len() {
                let tree = &self.watched[at];
                let free = Free::of(&tree.path);
                let low = free.bytes < self.floor_bytes;
                let rest = tree.rest(free, low);
                if tree.walked.elapsed() < rest {
                    continue;
                }
                if let Some(limit) = self.look(at, free, low).await {
                    return limit;
                }
            }
        }
    }

    async fn look(&mut self, at: usize, free: Free, low: bool) -> Option<Limit> {
        let found = self.measure(at, free, Unreadable::Leave).await?;
        if low && self.watched[at].added(found) > BLAMELESS_BYTES {
            let bytes = self.floor_bytes;
            return Some(Limit::DiskFloor { bytes });
        }
        self.watched[at].over(found)?;
        // A walk may count an entry twice that is moved within the tree meanwhile.
        let found = self.measure(at, free, Unreadable::Leave).await?;
        self.watched[at].over(found)
    }

    async fn measure(&mut self, at: usize, free: Free, unreadable: Unreadable) -> Option<Usage> {
        let tree = &self.watched[at];
        // Measure beyond the bound, to notice that a tree above it shrinks.
        let far = tree.bound.with(tree.allowance);
        let measured = self.walk(&tree.path, far, unreadable).await;
        let tree = &mut self.watched[at];
        tree.walked = Instant::now();
        tree.free = free;
        // A tree that can't be read at all was removed by its owner.
        let (found, cost) = measured.ok()?;
        tree.known.last = found;
        tree.known.cost = cost;
        tree.known.unwatched = Duration::ZERO;
        Some(found)
    }

    async fn walk(&self, path: &Path, bound: Usage, unreadable: Unreadable) -> std::io::Result<(Usage, Duration)> {
        let _permit = WALKS.acquire().await.map_err(std::io::Error::other)?;
        let (path, stop) = (path.to_owned(), Arc::clone(&self.stop));
        let walk = move || {
            let started = Instant::now();
            walk::measure(&path, bound, unreadable, &stop).map(|usage| (usage, started.elapsed()))
        };
        tokio::task::spawn_blocking(walk).await.map_err(std::io::Error::other)?
    }

    /// Checks again after the command has ended, if it ran long enough to justify a walk or the disk lost space.
    pub(crate) async fn end(mut self) -> Option<Limit> {
        let ran = self.started.elapsed();
        let mut reached = None;
        for at in 0..self.watched.len() {
            let tree = &mut self.watched[at];
            tree.known.unwatched += ran;
            let free = Free::of(&tree.path);
            let paid = tree.known.unwatched >= tree.known.cost * REST;
            if paid || free.lost_more_than(tree.free_before, tree.left()) {
                let found = self.measure(at, free, Unreadable::Open).await;
                reached = reached.or(found.and_then(|found| self.watched[at].over(found)));
            }
            let tree = &mut self.watched[at];
            tree.known.used = Instant::now();
            self.trees.put(&tree.path, tree.known);
        }
        reached
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tree {
    /// What may still be added.
    fn left(&self) -> Usage {
        Usage {
            bytes: self.bound.bytes.saturating_sub(self.known.last.bytes),
            files: self.bound.files.saturating_sub(self.known.last.files),
            ..Usage::default()
        }
    }

    fn rest(&self, free: Free, low: bool) -> Duration {
        let rest = if low || free.lost_more_than(self.free, self.left()) {
            SHORT_REST
        } else {
            REST
        };
        (self.known.cost * rest).max(TICK)
    }

    /// Bytes that the job added.
    fn added(&self, found: Usage) -> u64 {
        found.bytes.saturating_sub(self.before.bytes)
    }

    /// The limit that the job exceeded, if any.
    fn over(&self, found: Usage) -> Option<Limit> {
        let location = self.location;
        if found.bytes > self.bound.bytes && found.bytes > self.before.bytes {
            let bytes = self.allowance.bytes;
            return Some(Limit::Bytes { location, bytes });
        }
        if found.files > self.bound.files && found.files > self.before.files {
            let count = self.allowance.files;
            return Some(Limit::Files { location, count });
        }
        if found.too_deep && !self.bound.too_deep {
            let levels = LEVELS as u64;
            return Some(Limit::Depth { location, levels });
        }
        // Files in unreadable directories show in the disk's usage.
        let hidden = found.unreadable > self.before.unreadable
            && Free::of(&self.path).lost_more_than(self.free_before, self.allowance);
        hidden.then_some(Limit::Bytes {
            location,
            bytes: self.allowance.bytes,
        })
    }
}
