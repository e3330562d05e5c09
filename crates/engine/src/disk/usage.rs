//! Measures the parts of the data directory.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// A part of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The bare repositories.
    Hubs,
    /// The worktrees of workers and gates.
    Worktrees,
    /// Complete outputs of tools and gates.
    Outputs,
    /// Build output that the gates of a workspace share.
    Cache,
    /// The private database, if there is one.
    Postgres,
}

impl Area {
    /// All parts.
    pub const ALL: [Self; 5] = [Self::Hubs, Self::Worktrees, Self::Outputs, Self::Cache, Self::Postgres];

    /// Its directory under the data directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hubs => "hubs",
            Self::Worktrees => "worktrees",
            Self::Outputs => "outputs",
            Self::Cache => "cache",
            Self::Postgres => "postgres",
        }
    }
}

/// A measurement of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// The existing parts with their bytes on the disk.
    pub areas: Vec<(Area, u64)>,
    /// Counted files and directories.
    pub files: u64,
    /// Directories that could not be read; their content is not counted.
    pub unreadable: u64,
    /// When the measurement ended.
    pub at: OffsetDateTime,
    /// How long it took.
    pub took: Duration,
}

impl DiskUse {
    /// Measures a data directory as `du` does: blocks on the disk, a file with several names once. Files that vanish
    /// meanwhile are not counted. `None` if it was stopped. Blocks until it is done.
    pub fn measure(data_dir: &Path, stop: &CancellationToken) -> Option<Self> {
        let started = Instant::now();
        let mut walk = Walk::new(stop);
        let mut areas = Vec::new();
        for area in Area::ALL {
            let directory = data_dir.join(area.as_str());
            if directory.is_dir() {
                areas.push((area, walk.bytes(&directory)?));
            }
        }
        Some(Self {
            areas,
            files: walk.files,
            unreadable: walk.unreadable,
            at: OffsetDateTime::now_utc(),
            took: started.elapsed(),
        })
    }

    /// The sum of all parts.
    pub fn total_bytes(&self) -> u64 {
        self.areas.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The parts in words, for people.
    pub fn words(&self) -> String {
        let area = |(area, bytes): &(Area, u64)| format!("{} {}", area.as_str(), bytes_in_words(*bytes));
        let words = self.areas.iter().map(area).collect::<Vec<_>>().join(", ");
        match self.unreadable {
            0 => words,
            directories => format!("{words}, without {directories} directories that can't be read"),
        }
    }
}

/// A size for people: `312 KiB`, `41 MiB`.
pub fn bytes_in_words(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// The bytes of one directory on the disk; 0 if it does not exist or the measurement was stopped.
pub(crate) fn directory_bytes(directory: &Path, stop: &CancellationToken) -> u64 {
    Walk::new(stop).bytes(directory).unwrap_or_default()
}

struct Walk<'a> {
    stop: &'a CancellationToken,
    /// Files with several names that were counted already.
    counted: HashSet<(u64, u64)>,
    files: u64,
    unreadable: u64,
}

impl<'a> Walk<'a> {
    fn new(stop: &'a CancellationToken) -> Self {
        Self {
            stop,
            counted: HashSet::new(),
            files: 0,
            unreadable: 0,
        }
    }

    /// Without recursion: workers decide how deep the directories are.
    fn bytes(&mut self, root: &Path) -> Option<u64> {
        let mut bytes = fs::symlink_metadata(root).map_or(0, |found| found.blocks() * 512);
        let mut directories: Vec<PathBuf> = vec![root.to_owned()];
        while let Some(directory) = directories.pop() {
            if self.stop.is_cancelled() {
                return None;
            }
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unreadable += u64::from(error.kind() != io::ErrorKind::NotFound);
                    continue;
                }
            };
            for entry in entries.flatten() {
                // Of the entry itself: a link is not followed.
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                if found.is_dir() {
                    directories.push(entry.path());
                } else if found.nlink() > 1 && !self.counted.insert((found.dev(), found.ino())) {
                    continue;
                }
                self.files += 1;
                bytes += found.blocks() * 512;
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn bytes_equal_those_of_du_with_hard_links_and_symbolic_links() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("hubs/a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(directory.path().join("cache")).unwrap();
        fs::write(deep.join("file"), vec![7; 300_000]).unwrap();
        fs::hard_link(deep.join("file"), directory.path().join("hubs/again")).unwrap();
        fs::hard_link(deep.join("file"), directory.path().join("cache/elsewhere")).unwrap();
        std::os::unix::fs::symlink("/usr", deep.join("out")).unwrap();
        std::os::unix::fs::symlink("nowhere", deep.join("broken")).unwrap();
        let found = DiskUse::measure(directory.path(), &CancellationToken::new()).unwrap();
        let output = Command::new("du")
            .args(["-s", "-B1", "hubs", "cache"])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let du: u64 = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.split_whitespace().next().unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!(found.total_bytes(), du, "{found:?}");
        assert!(du > 300_000);
        assert_eq!(found.areas.len(), 2, "only what is there: {found:?}");
    }

    #[test]
    fn stopped_measurement_has_no_result() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("hubs")).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(DiskUse::measure(directory.path(), &stop), None);
    }
}
