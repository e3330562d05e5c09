//! Which accounts are ours, or trusted as we are.

use crate::error::{At, GitResult};
use std::{
    fs,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
    sync::OnceLock,
};

const ROOT: u32 = 0;

/// Whether what an account owns is this process's to work on.
pub(super) fn is_ours(owner: u32) -> bool {
    let me = rustix::process::geteuid().as_raw();
    // As git: under sudo, what belongs to the calling user is ours as well.
    let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    owner == me || me == ROOT && caller == Some(owner)
}

/// Whether an account may decide where a path leads: we, root, and what stands for root in a user namespace that does
/// not have it.
pub(super) fn is_trusted(owner: u32) -> bool {
    is_ours(owner) || owner == ROOT || unmapped() == Some(owner)
}

/// The home that the file of accounts has for the one that this runs as.
pub(super) fn home_of_account() -> Option<PathBuf> {
    let me = rustix::process::geteuid().as_raw().to_string();
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let own = accounts.lines().find(|line| line.split(':').nth(2) == Some(&me))?;
    own.split(':').nth(5).map(PathBuf::from)
}

/// The account that files of accounts outside of this user namespace appear to have; `None` where all are inside.
fn unmapped() -> Option<u32> {
    static UNMAPPED: OnceLock<Option<u32>> = OnceLock::new();
    *UNMAPPED.get_or_init(|| {
        let map = fs::read_to_string("/proc/self/uid_map").ok()?;
        if map.split_whitespace().eq(["0", "0", "4294967295"]) {
            return None;
        }
        let shown = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
        shown.trim().parse().ok()
    })
}

/// The account that what is written into a repository must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Account {
    /// The owner of a directory, where this runs as root and the owner is another account.
    pub(super) fn to_write_as(directory: &Path) -> Option<Self> {
        let metadata = fs::metadata(directory).ok()?;
        let owner = metadata.uid();
        if !rustix::process::geteuid().is_root() || owner == ROOT || unmapped() == Some(owner) {
            return None;
        }
        Some(Self {
            user: owner,
            group: primary_group(owner).unwrap_or(metadata.gid()),
        })
    }
}

impl Account {
    /// Gives a directory that this process made, and everything in it, to the account. The directory comes last: until
    /// then it is closed, so nothing in it can be exchanged.
    pub(super) fn take_over(&self, directory: &Path) -> GitResult<()> {
        let metadata = fs::symlink_metadata(directory).at("can't look at", directory)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(directory).at("can't read", directory)? {
                self.take_over(&entry.at("can't read", directory)?.path())?;
            }
        }
        self.own(directory)
    }

    /// Gives one file or directory to the account. A link itself is given, and not what it leads to.
    pub(super) fn own(&self, path: &Path) -> GitResult<()> {
        lchown(path, Some(self.user), Some(self.group)).at("can't change the owner of", path)
    }
}

fn primary_group(user: u32) -> Option<u32> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let own = accounts
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&user.to_string()))?;
    own.split(':').nth(3)?.parse().ok()
}
