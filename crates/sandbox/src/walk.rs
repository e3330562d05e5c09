//! Measures a directory tree while another process changes it, perhaps to deceive the measurement.
//!
//! It opens every directory relative to its parent, follows no link, and enters no directory twice, so that neither
//! renames nor links lead out of the tree or into a loop. A walk ends early when it exceeds its bound.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

/// The deepest level that a walk enters: each level holds a file descriptor.
pub(crate) const LEVELS: usize = 256;

/// How many names count as one file at least: each name of a file costs the walk as much as a file.
const NAMES_PER_FILE: u64 = 4;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// The size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Per file its length or its disk usage, whichever is larger: copying a sparse file costs its length.
    pub(crate) bytes: u64,
    /// Files and directories; a file with several names counts once, unless it has very many.
    pub(crate) files: u64,
    /// Directories that could not be read; their contents are not counted.
    pub(crate) unreadable: u64,
    /// Whether there are directories below the deepest level.
    pub(crate) too_deep: bool,
}

impl Usage {
    /// The size after adding this much.
    pub(crate) fn with(self, more: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(more.bytes),
            files: self.files.saturating_add(more.files),
            ..self
        }
    }
}

/// What to do with directories that their owner may not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Leave them, while a command runs that may rely on it.
    Leave,
    /// Make them readable afterwards: copying or removing the tree needs it.
    Open,
}

/// Measures the tree, until it exceeds the bound or `stop` is set.
pub(crate) fn measure(root: &Path, bound: Usage, unreadable: Unreadable, stop: &AtomicBool) -> io::Result<Usage> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = openat(CWD, root, flags, Mode::empty())?;
    let stat = fstat(&opened)?;
    let mut walk = Walk {
        usage: Usage::default(),
        bound,
        unreadable,
        device: stat.st_dev as u64,
        names: 0,
        directories: HashSet::from([stat.st_ino]),
        linked: HashSet::new(),
    };
    walk.count(&stat);
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        walk.beneath(opened, stop)?;
    }
    walk.usage.files = walk.files();
    Ok(walk.usage)
}

struct Walk {
    usage: Usage,
    bound: Usage,
    unreadable: Unreadable,
    /// Other file systems are not entered.
    device: u64,
    names: u64,
    directories: HashSet<u64>,
    /// Files with several names that are already counted.
    linked: HashSet<u64>,
}

impl Walk {
    fn beneath(&mut self, root: OwnedFd, stop: &AtomicBool) -> io::Result<()> {
        let mut levels = vec![Dir::new(root)?];
        while let Some(level) = levels.last_mut() {
            match level.read() {
                None => {
                    levels.pop();
                }
                Some(Err(_)) => {
                    self.usage.unreadable += 1;
                    levels.pop();
                }
                Some(Ok(entry)) => {
                    let depth = levels.len();
                    let Some(parent) = levels.last() else { break };
                    if let Some(directory) = self.visit(parent.fd()?, entry.file_name(), depth) {
                        levels.push(directory);
                    }
                }
            }
            if self.is_over() || stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.usage.bytes > self.bound.bytes || self.files() > self.bound.files
    }

    fn files(&self) -> u64 {
        self.usage.files.max(self.names / NAMES_PER_FILE)
    }

    /// Counts an entry, and returns it opened if it is a directory to enter.
    fn visit(&mut self, parent: impl AsFd, name: &CStr, depth: usize) -> Option<Dir> {
        if matches!(name.to_bytes(), b"." | b"..") {
            return None;
        }
        self.names += 1;
        // An entry that is gone again takes no space.
        let stat = statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        if stat.st_dev as u64 != self.device {
            return None;
        }
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return self.enter(parent.as_fd(), name, depth);
        }
        if stat.st_nlink == 1 || self.linked.insert(stat.st_ino) {
            self.count(&stat);
        }
        None
    }

    fn enter(&mut self, parent: impl AsFd, name: &CStr, depth: usize) -> Option<Dir> {
        let opened = match open_directory(parent.as_fd(), name) {
            Err(Errno::ACCESS) if self.unreadable == Unreadable::Open => {
                make_readable(parent.as_fd(), name);
                open_directory(parent.as_fd(), name)
            }
            opened => opened,
        };
        let opened = match opened {
            Ok(opened) => opened,
            // It was replaced after `statat`.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
            Err(_) => {
                self.usage.files += 1;
                self.usage.unreadable += 1;
                return None;
            }
        };
        let stat = fstat(&opened).ok()?;
        if stat.st_dev as u64 != self.device || !self.directories.insert(stat.st_ino) {
            return None;
        }
        self.count(&stat);
        if depth >= LEVELS {
            self.usage.too_deep = true;
            return None;
        }
        Dir::new(opened).ok()
    }

    fn count(&mut self, stat: &Stat) {
        let length = if FileType::from_raw_mode(stat.st_mode).is_file() {
            u64::try_from(stat.st_size).unwrap_or(0)
        } else {
            0
        };
        let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES);
        self.usage.bytes = self.usage.bytes.saturating_add(length.max(on_disk));
        self.usage.files += 1;
    }
}

fn open_directory(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Makes a directory readable for its owner, through a descriptor in case a link replaces it.
fn make_readable(parent: impl AsFd, name: &CStr) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(found) = openat(parent, name, flags, Mode::empty()) {
        // A failure leaves the directory unreadable, which is counted.
        rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    const NO_BOUND: Usage = Usage {
        bytes: u64::MAX,
        files: u64::MAX,
        unreadable: 0,
        too_deep: false,
    };

    fn usage(root: &Path) -> Usage {
        measure(root, NO_BOUND, Unreadable::Leave, &AtomicBool::new(false)).unwrap()
    }

    /// What was added to an empty directory.
    fn added(fill: impl FnOnce(&Path)) -> Usage {
        let tree = tempfile::tempdir().unwrap();
        let before = usage(tree.path());
        fill(tree.path());
        let after = usage(tree.path());
        Usage {
            bytes: after.bytes - before.bytes,
            files: after.files - before.files,
            ..after
        }
    }

    #[test]
    fn hard_links_count_once() {
        let added = added(|root| {
            fs::write(root.join("a"), vec![1; 1 << 20]).unwrap();
            fs::hard_link(root.join("a"), root.join("b")).unwrap();
            fs::hard_link(root.join("a"), root.join("c")).unwrap();
        });
        assert_eq!(added.files, 1);
        assert!((1 << 20..2 << 20).contains(&added.bytes), "{added:?}");
    }

    #[test]
    fn very_many_hard_links_are_bounded() {
        let added = added(|root| {
            fs::write(root.join("a"), "").unwrap();
            for number in 0..4_000 {
                fs::hard_link(root.join("a"), root.join(number.to_string())).unwrap();
            }
        });
        assert!(added.files >= 999, "{added:?}");
    }

    #[test]
    fn sparse_file_counts_its_length() {
        let added = added(|root| File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap());
        assert!(added.bytes >= 1 << 30, "{added:?}");
    }

    #[test]
    fn symlinks_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("big"), vec![1; 1 << 20]).unwrap();
        let added = added(|root| {
            symlink(outside.path(), root.join("out")).unwrap();
            symlink(".", root.join("circle")).unwrap();
            symlink(root.join("nowhere"), root.join("broken")).unwrap();
        });
        assert_eq!(added.files, 3);
        assert!(added.bytes < 1 << 20, "{added:?}");
    }

    #[test]
    fn tree_deeper_than_the_limit_ends() {
        let added = added(|root| {
            let mut at = rustix::fs::open(root, OFlags::PATH, Mode::empty()).unwrap();
            for _ in 0..1_000 {
                rustix::fs::mkdirat(&at, c"deep", Mode::RWXU).unwrap();
                at = openat(&at, c"deep", OFlags::PATH, Mode::empty()).unwrap();
            }
        });
        assert!(added.too_deep && added.files == LEVELS as u64, "{added:?}");
    }

    #[test]
    fn walk_ends_at_its_bound() {
        let tree = tempfile::tempdir().unwrap();
        for number in 0..1_000 {
            fs::write(tree.path().join(number.to_string()), "").unwrap();
        }
        let bound = Usage { files: 10, ..NO_BOUND };
        let found = measure(tree.path(), bound, Unreadable::Leave, &AtomicBool::new(false)).unwrap();
        assert_eq!(found.files, 11);
    }

    #[test]
    fn changing_tree_is_walked_to_the_end() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().to_owned();
        for number in 0..50 {
            fs::create_dir_all(root.join(format!("{number}/a/b"))).unwrap();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for number in 0..50 {
                        let (from, to) = (root.join(format!("{number}/a")), root.join(format!("{number}/c")));
                        fs::rename(&from, &to).unwrap();
                        symlink("/", &from).unwrap();
                        fs::remove_file(&from).unwrap();
                        fs::rename(&to, &from).unwrap();
                    }
                }
            });
            for _ in 0..100 {
                let found = usage(&root);
                assert!(found.files <= 1 + 50 * 4, "{found:?}");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
