//! Bounds what a job adds to the directories it may write: bytes, files, and the free space of their disk.
//!
//! A worktree is measured when it is first seen, so a large repository is not held against a task; everything that is
//! added to it later counts, by whichever job. A directory that outlives its tasks, such as a build cache, is bounded
//! per job: retention bounds it in the long run. A job that only makes a directory smaller is never stopped.
//!
//! Walks take a bounded share of the time: a tree rests between two walks for a multiple of what one takes, and rests
//! less while its disk fills. A directory that lost its limit to a burst of writes is found at the latest when the
//! command has ended, or the next one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::limit::{Limit, Place};
use crate::walk::{self, LEVELS, Unreadable, Usage};
use crate::{Access, Job, SandboxError, Settings};

/// How often the disk's free space is read, and the shortest rest between two walks.
const TICK: Duration = Duration::from_millis(100);

/// A tree rests for this many times of what a walk of it takes.
const REST: u32 = 20;

/// The same while the disk loses more than the tree may still take.
const SHORT_REST: u32 = 2;

/// Walks at one time in this process: each holds a descriptor per level of its tree.
static WALKS: Semaphore = Semaphore::const_new(2);

/// Trees that are remembered; beyond, the one that was used least recently is measured again.
const REMEMBERED: usize = 4096;

/// A job that added less is not what fills the disk.
const BLAMELESS_BYTES: u64 = 1 << 20;

/// What is known of the directories that jobs wrote to.
#[derive(Debug, Default)]
pub(crate) struct Trees(Mutex<HashMap<PathBuf, Known>>);

/// What is known of one tree.
#[derive(Clone, Copy, Debug)]
struct Known {
    identity: Identity,
    first: Usage,
    last: Usage,
    /// What the last walk took.
    cost: Duration,
    /// How long commands ran since.
    unwatched: Duration,
    used: Instant,
}

/// Tells a tree from a later one at the same path, which may even get the same inode.
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

/// Watches what one job writes.
pub(crate) struct Watch {
    trees: Arc<Trees>,
    watched: Vec<Tree>,
    floor_bytes: u64,
    began: Instant,
    stop: Arc<AtomicBool>,
}

/// One directory a job may write.
struct Tree {
    path: PathBuf,
    place: Place,
    known: Known,
    /// What it may hold.
    bound: Usage,
    allowance: Usage,
    /// What it held when the job began.
    before: Usage,
    walked: Instant,
    /// Free bytes and files of its disk at that time.
    free: Free,
    /// The same when the job began.
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

    /// Whether it lost more than this since.
    fn lost_more_than(self, since: Self, usage: Usage) -> bool {
        since.bytes.saturating_sub(self.bytes) > usage.bytes || since.files.saturating_sub(self.files) > usage.files
    }
}

impl Watch {
    /// Measures what is not known yet of the directories that the job may write.
    pub(crate) async fn begin(trees: &Arc<Trees>, settings: &Settings, job: &Job) -> Result<Self, SandboxError> {
        let mut watch = Self {
            trees: Arc::clone(trees),
            watched: Vec::new(),
            floor_bytes: settings.disk_floor_bytes,
            began: Instant::now(),
            stop: Arc::default(),
        };
        let worktree = (job.worktree_access == Access::ReadWrite).then_some((&job.worktree, Place::Worktree));
        let shared = job.extra_read_write.iter().map(|path| (path, Place::Shared));
        for (path, place) in worktree.into_iter().chain(shared) {
            let tree = watch.tree(path, place, settings).await;
            let tree = tree.map_err(SandboxError::system("measuring what the command may write"))?;
            // At once: a job that is dropped must not make the next one take its files for the beginning.
            trees.put(path, tree.known);
            watch.watched.push(tree);
        }
        watch.began = Instant::now();
        Ok(watch)
    }

    async fn tree(&self, path: &Path, place: Place, settings: &Settings) -> std::io::Result<Tree> {
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
        let base = match place {
            Place::Worktree => known.first,
            Place::Shared => known.last,
        };
        let allowance = Usage {
            bytes: settings.worktree_bytes,
            files: settings.worktree_files,
            ..Usage::default()
        };
        let free = Free::of(path);
        Ok(Tree {
            path: path.to_owned(),
            place,
            bound: base.with(allowance),
            allowance,
            before: known.last,
            known,
            walked: Instant::now(),
            free,
            free_before: free,
        })
    }

    /// Resolves when the job has to be stopped; never where it hasn't.
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
        // What is moved within the tree during a walk may be met twice.
        let found = self.measure(at, free, Unreadable::Leave).await?;
        self.watched[at].over(found)
    }

    async fn measure(&mut self, at: usize, free: Free, unreadable: Unreadable) -> Option<Usage> {
        let tree = &self.watched[at];
        // Beyond the bound, so that a tree that is over it can be seen to shrink.
        let far = tree.bound.with(tree.allowance);
        let measured = self.walk(&tree.path, far, unreadable).await;
        let tree = &mut self.watched[at];
        tree.walked = Instant::now();
        tree.free = free;
        // A tree that can't be read at all is gone: its owner removed it.
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
            let began = Instant::now();
            walk::measure(&path, bound, unreadable, &stop).map(|usage| (usage, began.elapsed()))
        };
        tokio::task::spawn_blocking(walk).await.map_err(std::io::Error::other)?
    }

    /// Looks once more after the command has ended, where it ran long enough to pay for a walk or the disk lost room.
    pub(crate) async fn end(mut self) -> Option<Limit> {
        let ran = self.began.elapsed();
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

    /// The limit that is passed, if the job is what passed it.
    fn over(&self, found: Usage) -> Option<Limit> {
        let place = self.place;
        if found.bytes > self.bound.bytes && found.bytes > self.before.bytes {
            let bytes = self.allowance.bytes;
            return Some(Limit::Bytes { place, bytes });
        }
        if found.files > self.bound.files && found.files > self.before.files {
            let count = self.allowance.files;
            return Some(Limit::Files { place, count });
        }
        if found.too_deep && !self.bound.too_deep {
            let levels = LEVELS as u64;
            return Some(Limit::Depth { place, levels });
        }
        // Whatever lies where nobody may look, the disk knows.
        let hidden = found.unreadable > self.before.unreadable
            && Free::of(&self.path).lost_more_than(self.free_before, self.allowance);
        hidden.then_some(Limit::Bytes {
            place,
            bytes: self.allowance.bytes,
        })
    }
}
