//! Lock files that stay: their age, the process that has them open, and how long they were waited for.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// From this age on, a lock that no process has open counts as stale: git holds most locks for milliseconds.
const STALE_AGE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A lock file that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// The lock file.
    pub path: PathBuf,
    /// The time since it was written.
    pub age: Duration,
    /// The process that has it open. `None`: no process that this account can look into.
    pub holder: Option<LockHolder>,
    /// How long it was waited for.
    pub waited: Duration,
}

/// A process that has a lock file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process id.
    pub process: u32,
    /// The name of its program; empty if unknown.
    pub program: String,
}

impl HeldLock {
    /// The lock file as it is now; `None` if it is gone.
    pub(crate) fn look(path: &Path, waited: Duration) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let written = metadata.modified().unwrap_or_else(|_| SystemTime::now());
        let holder = process_with_open(metadata.dev(), metadata.ino()).map(|process| LockHolder {
            process,
            program: fs::read_to_string(format!("/proc/{process}/comm"))
                .map(|name| name.trim_end().to_owned())
                .unwrap_or_default(),
        });
        Some(Self {
            path: path.to_owned(),
            age: SystemTime::now().duration_since(written).unwrap_or_default(),
            holder,
            waited,
        })
    }

    /// Waits until the lock file is gone, is stale, or `limit` has passed. `None`: it is gone.
    pub(crate) fn wait(path: &Path, limit: Duration) -> Option<Self> {
        let started = Instant::now();
        loop {
            fs::symlink_metadata(path).ok()?;
            let held = Self::look(path, started.elapsed())?;
            if held.is_stale() || held.waited >= limit {
                return Some(held);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether the lock is old and no process has it open. Waiting won't help then.
    pub fn is_stale(&self) -> bool {
        self.holder.is_none() && self.age >= STALE_AGE
    }
}

impl fmt::Display for HeldLock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, age, waited) = (self.path.display(), rough(self.age), rough(self.waited));
        match &self.holder {
            Some(LockHolder { process, program }) => {
                let program = if program.is_empty() { "?" } else { program };
                write!(
                    formatter,
                    "process {process} ({program}) holds the lock {path}, written {age} ago; waited {waited}. Wait \
                     until that process ends"
                )
            }
            None => write!(
                formatter,
                "the lock {path} was written {age} ago, and no process that can be seen has it open; waited \
                 {waited}. If no git command and no commit editor is open in that repository, a crash left it: \
                 remove it with `rm {path}`"
            ),
        }
    }
}

/// The time with its largest unit.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        0 => "less than 1 s".to_owned(),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A process that has the file open, if one is found: processes of other accounts can't be looked into, and other
/// systems have no `/proc`.
pub(crate) fn process_with_open(device: u64, inode: u64) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        has_open(&process.path().join("fd"), device, inode).then_some(id)
    })
}

fn has_open(descriptors: &Path, device: u64, inode: u64) -> bool {
    fs::read_dir(descriptors).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| fs::metadata(entry.path()).ok())
            .any(|metadata| metadata.dev() == device && metadata.ino() == inode)
    })
}
